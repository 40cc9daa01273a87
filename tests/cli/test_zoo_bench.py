"""``bitat-deploy bench --zoo``: all networks of the zoo, one report each."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bitat_deploy.api import zoo_benches
from bitat_deploy.cli.main import cli
from bitat_deploy.device import fitting_targets
from bitat_deploy.report import read_report
from bitat_deploy.zoo import DEFAULT_MODEL
from tests.report.factory import PI


def test_reports_with_baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_benches, "zoo_names", lambda: [DEFAULT_MODEL])
    quick = ["--images", "10", "--min-seconds", "0", "--min-runs", "3"]
    folder = tmp_path / "reports"
    outputs = ["--json", str(folder), "--markdown", str(folder)]
    finished = CliRunner().invoke(cli, ["bench", "--zoo", *quick, *outputs])
    assert finished.exit_code == 0, finished.output
    assert f"Reports: {folder}" in finished.stdout.replace("\n", "")
    names = [f"{DEFAULT_MODEL}.json", f"{DEFAULT_MODEL}.md"]
    assert sorted(path.name for path in folder.iterdir()) == names
    report = read_report(folder / names[0])
    assert report["accuracy"]["logits_equal"] and report["accuracy"]["images"] == 10
    assert [twin["name"] for twin in report["baselines"]] == ["float32", "int8"]
    assert json.loads((folder / names[0]).read_text())["target"] == "host"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--zoo", "a-bundle"], "takes no bundle"),
        (["--zoo", "--host", "a", "--host", "b"], "one board at a time"),
        (["--zoo", "--json", "-"], "names a folder"),
        (["--zoo", "--html", __file__], "names a folder"),
        (["--target", "rpi4"], "goes with --zoo"),
    ],
)
def test_bad_options(arguments: list[str], words: str) -> None:
    finished = CliRunner().invoke(cli, ["bench", *arguments])
    assert finished.exit_code == 2
    assert words in finished.output


@pytest.mark.parametrize(
    ("board", "cpu", "name"),
    [
        ("Raspberry Pi 4 Model B Rev 1.5", "Cortex-A72", "rpi4"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "Cortex-A53", "rpi3"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "Cortex-A53", "rpi-zero2w"),
        ("Raspberry Pi 5 Model B Rev 1.0", "Cortex-A76", "rpi5"),
        ("Some board", "Cortex-A73", "aarch64"),
        ("", "Neoverse-N1", "aarch64"),
    ],
)
def test_the_target_of_a_board(board: str, cpu: str, name: str) -> None:
    features = {"asimd", "fp", "crc32"}
    if cpu in ("Cortex-A76", "Neoverse-N1"):
        features |= {"atomics", "asimdhp", "asimddp"}
    device = replace(PI, board=board, cpu=cpu, features=frozenset(features))
    assert fitting_targets(device)[0].name == name
