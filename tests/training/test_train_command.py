"""The whole of training through the command line, on images any network can learn."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from bitat_deploy.cli.main import cli
from bitat_deploy.datasets import load_dataset
from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import load_checkpoint
from bitat_deploy.training.errors import TrainingDivergedError
from bitat_deploy.training.integer_network import integer_top1, load_checkpoint_network
from tests.datasets.idx_files import write_folder

LONGER = ["--set", "binary_activations.epochs=4", "--set", "fine_tune.epochs=10"]
LONGER += ["--set", "fine_tune.signs=true"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"))


def command(data: Path, output: Path, *more: str) -> list[str]:
    script = "from bitat_deploy.cli import main; main()"
    options = ["--data", str(data), "--output", str(output), "--threads", "1", *LONGER, *more]
    return [sys.executable, "-c", script, "train", "--recipe", "smoke", *options]


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the smoke recipe that nothing disturbed."""
    output = tmp_path_factory.mktemp("trained")
    subprocess.run(command(data, output), check=True, capture_output=True)
    return output


def test_it_learns_and_reports(trained: Path, data: Path) -> None:
    report = json.loads((trained / "report.json").read_text())
    test = load_dataset("fashion-mnist", "test", data)
    network = load_checkpoint_network(trained / "checkpoint.pt")
    assert report["accuracy"]["top1"] == integer_top1(network, test.images, test.labels)
    assert report["accuracy"]["top1"] > 0.3  # by chance 0.1
    assert report["accuracy"]["images"] == 200
    assert [stage["stage"] for stage in report["stages"]][-1] == "fine-tune"
    assert report["recipe"]["name"] == "smoke"
    assert report["accuracy"]["evaluation"] == "integer"
    last = report["epochs"][-1]
    assert last["images_per_second"] > 0
    assert set(last["sign_flips"]) == {stage["stage"] for stage in report["stages"][2:-1]}
    assert all(
        stage["relative_output_error_after"] <= stage["relative_output_error_before"]
        for stage in report["stages"][2:-1]
    )
    assert report["cost"]["W1A1"] > 0
    assert report["environment"]["peak_memory_bytes"] > 2**20
    assert (trained / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert network.metadata["top1"] == f"{report['accuracy']['top1']:.4f}"


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    arguments = command(data, tmp_path, "--checkpoint-every", "0")
    path = tmp_path / "checkpoint.pt"
    for stage in (1, 4):  # in the middle of binary activations, then of a block's third layer
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        while not (path.exists() and _position(path) > (stage, 1)):
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert load_checkpoint(path).top1 is None
    subprocess.run(arguments, check=True, capture_output=True)
    resumed, undisturbed = load_checkpoint(path), load_checkpoint(trained / "checkpoint.pt")
    assert resumed.top1 == undisturbed.top1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["resumed_after_steps"] == list(resumed.resumed) == sorted(set(resumed.resumed))
    assert (len(resumed.resumed), undisturbed.resumed) == (2, ())
    for name, value in undisturbed.network.items():
        assert torch.equal(resumed.network[name], value), name
    pairs = zip(resumed.epochs, undisturbed.epochs, strict=True)
    assert all(a["loss"] == b["loss"] and a["sign_flips"] == b["sign_flips"] for a, b in pairs)


def _position(path: Path) -> tuple[int, int]:
    checkpoint = load_checkpoint(path)
    return checkpoint.stage, checkpoint.step


def test_a_finished_run_is_not_repeated(trained: Path, data: Path) -> None:
    before = (trained / "checkpoint.pt").stat().st_mtime_ns
    result = CliRunner().invoke(cli, command(data, trained)[3:])
    assert result.exit_code == 0
    assert (trained / "checkpoint.pt").stat().st_mtime_ns == before
    assert "on 200 test images" in result.output


def test_a_folder_of_another_run_is_refused(trained: Path, data: Path) -> None:
    result = CliRunner().invoke(cli, command(data, trained, "--set", "seed=2")[3:])
    assert isinstance(result.exception, InputError)
    assert "another --output" in str(result.exception)


def test_divergence_names_stage_and_step(data: Path, tmp_path: Path) -> None:
    change = ["--set", "distillation.temperature=1e-38"]
    result = CliRunner().invoke(cli, command(data, tmp_path, *change)[3:])
    assert isinstance(result.exception, TrainingDivergedError)
    message = str(result.exception)
    assert "stage 'binary activations', step 0" in message
    assert load_checkpoint(tmp_path / "checkpoint.pt").stage == 1  # the last good one
    assert "learning_rate" in message


def test_too_few_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", train=100, test=10)
    result = CliRunner().invoke(cli, command(folder, tmp_path / "run")[3:])
    assert isinstance(result.exception, InputError)
    assert "leave no batch of 32" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_recipes_are_listed_and_asked_for() -> None:
    listed = CliRunner().invoke(cli, ["train", "--list"])
    row = listed.output.partition("smoke")[2]
    assert "bitat" in row
    assert "W1A1" in row
    assert "top-1 86.25 %" in " ".join(listed.output.split())
    missing = CliRunner().invoke(cli, ["train"])
    assert missing.exit_code == 2
    assert "--list shows the recipes" in missing.output
