"""``bitat-deploy explore`` with modelled latencies."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from bitat_deploy.bundle import read_bundle
from bitat_deploy.cli.main import cli
from bitat_deploy.errors import InputError
from bitat_deploy.onnx_format import read_network
from tests.bench_command import listen_to_interrupts
from tests.exploration.pictures import write_candidates, write_photos

pytestmark = pytest.mark.skipif(
    shutil.which("llvm-mca") is None, reason="llvm-mca is not installed"
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos") / "photos")


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_candidates(tmp_path_factory.mktemp("candidates") / "candidates.yaml")


def arguments(photos: Path, candidates: Path, output: Path, *more: str) -> list[str]:
    options = ["--data", str(photos), "--candidates", str(candidates), "--output", str(output)]
    return ["explore", "--target", "rpi4", *options, "--jobs", "1", *more]


def started(words: list[str]) -> subprocess.Popen[str]:
    script = "from bitat_deploy.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", script, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_interrupts,
    )


@pytest.fixture(scope="module")
def explored(
    photos: Path, candidates: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, str]:
    """The folder of an exploration that was stopped once; what the second command printed."""
    output = tmp_path_factory.mktemp("explored") / "exploration"
    words = arguments(photos, candidates, output, "--budget", "5ms")
    process = started(words)
    while not list(output.glob("twins/*/validation.json")):  # a twin is trained
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("Error: stopped; all that was found is in")
    assert "Traceback" not in errors
    second = started(words)
    printed, errors = second.communicate()
    assert second.returncode == 0, errors
    return output, printed, errors


@pytest.mark.slow
def test_it_recommends_a_network(explored: tuple[Path, str, str], photos: Path) -> None:
    output, printed, _ = explored
    document = json.loads((output / "report.json").read_text())
    networks = {one["name"]: one for one in document["networks"]}
    chosen = networks[document["recommended"]]
    assert printed.splitlines()[-1].startswith(f"Take {chosen['name']} within 5.000 ms: ")
    assert chosen["validation"]["right"] / chosen["validation"]["images"] > 0.5  # chance: 0.33
    assert chosen["test"]["images"] == document["pictures"]["test"]
    assert set(networks) == {"small-1x-16px-w1a1", "small-1x-16px-w2a2"}
    assert all(one["state"] == "trained in full" for one in networks.values())
    for one in networks.values():  # test images are for the front alone
        assert (one["test"] is not None) == (one["name"] in document["front"])
        low, high = one["interval"]
        assert low <= one["milliseconds"] <= high
    page = (output / "report.html").read_text()
    assert "budget 5.000 ms" in page and document["recommended"] in page
    recommended = output / "recommended"
    network = read_network(recommended / "model.onnx")
    bundle = read_bundle(recommended / "bundle")
    assert bundle.manifest.target.name == "rpi4"
    assert network.name == chosen["name"]
    assert (recommended / "recipe.yaml").exists()
    assert (recommended / "checkpoint.pt").exists()


@pytest.mark.slow
def test_what_was_known_is_not_found_anew(explored: tuple[Path, str, str]) -> None:
    """The second command neither models nor trains the twin again."""
    _, _, errors = explored
    assert "modelled" not in errors
    assert errors.count("in full precision") == 1  # read


@pytest.mark.slow
def test_another_exploration_in_the_folder_is_refused(
    explored: tuple[Path, str, str], photos: Path, tmp_path: Path
) -> None:
    text = (Path(__file__).parent / "pictures.py").read_text()
    assert "epochs: 4" in text
    other = write_candidates(tmp_path / "other.yaml", text.split('"""')[3].replace(": 4}", ": 8}"))
    with pytest.raises(InputError, match="other candidates, pictures or devices"):
        CliRunner().invoke(cli, arguments(photos, other, explored[0]), catch_exceptions=False)


@pytest.mark.slow
def test_a_budget_that_nothing_meets(
    explored: tuple[Path, str, str], photos: Path, candidates: Path
) -> None:
    """Costs are known from the folder."""
    budget = ["--budget", "0.001us"]
    with pytest.raises(InputError, match=r"the fastest, small-1x-16px-w1a1, takes .* ms"):
        CliRunner().invoke(
            cli, arguments(photos, candidates, explored[0], *budget), catch_exceptions=False
        )


def test_photos_of_one_class_are_refused(candidates: Path, tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", each=2)
    shutil.rmtree(folder / "left")
    shutil.rmtree(folder / "none")
    with pytest.raises(InputError, match="class"):
        CliRunner().invoke(
            cli, arguments(folder, candidates, tmp_path / "out"), catch_exceptions=False
        )


def test_too_few_photos_are_refused(candidates: Path, tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", each=4)
    with pytest.raises(InputError, match="which leave no batch of 32"):
        CliRunner().invoke(
            cli, arguments(folder, candidates, tmp_path / "out"), catch_exceptions=False
        )


def test_quantities_have_units(photos: Path, candidates: Path, tmp_path: Path) -> None:
    words = arguments(photos, candidates, tmp_path, "--budget", "5 apples")
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "is no number above 0 with one of the units us, ms, s" in result.output
