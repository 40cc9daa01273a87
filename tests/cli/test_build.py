"""``bitat-deploy build`` as a user runs it."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from bitat_deploy.errors import InputError
from tests.bench_command import COMMAND


def build(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([COMMAND, "build", *arguments], capture_output=True, text=True)


def test_ends_with_the_layer_table(host_bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    finished = build(str(host_bundle / "model.onnx"), "-o", str(output))
    assert finished.returncode == 0, finished.stderr
    layers = json.loads((output / "manifest.json").read_text())["layers"]
    assert len(layers) == 7
    for layer in layers:
        answers = ["yes" if layer[key] else "no" for key in ("binarized", "fused", "packed_output")]
        row = rf"^{re.escape(layer['name'])} .* {' +'.join(answers)} +\S+\s*$"
        assert re.search(row, finished.stdout, re.MULTILINE), row
        why = rf"^Why not, .*{re.escape(layer['name'])}\b"
        assert not layer["reason"] or re.search(why, finished.stdout, re.MULTILINE)
    assert str(output) in finished.stdout
    assert "Next: bitat-deploy bench --host local" in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "rpi9"], ["unknown target 'rpi9'", "host", "rpi4"]),
        (["nowhere.onnx"], ["no file 'nowhere.onnx'", "zoo"]),
        (["nowhere.pt"], ["nowhere.pt"]),
        (["{folder}/damaged.onnx"], ["damaged.onnx", "not an ONNX file"]),
        (["{folder}/damaged.pt"], ["damaged.pt"]),
        (["{model}", "-o", "{folder}"], ["not a bundle", "-o"]),
    ],
)
def test_bad_input(
    arguments: list[str], words: list[str], host_bundle: Path, tmp_path: Path
) -> None:
    model = host_bundle / "model.onnx"
    (tmp_path / "damaged.onnx").write_bytes(model.read_bytes()[:1000])
    (tmp_path / "damaged.pt").write_bytes(b"\x80\x02}q")
    before = sorted(tmp_path.iterdir())
    filled = [text.format(folder=tmp_path, model=model) for text in arguments]
    if "-o" not in filled:
        filled += ["-o", str(tmp_path / "bundle")]
    finished = build(*filled)
    errors = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert finished.returncode == InputError.exit_code, finished.stderr
    assert "Traceback" not in finished.stderr
    assert len(errors) == 1
    assert all(word in errors[0] for word in words), errors[0]
    assert sorted(tmp_path.iterdir()) == before
