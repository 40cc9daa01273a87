"""MODEL of build and tune: a checkpoint or an ONNX file, and the preprocessing of its input."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bitat_deploy.api import onnx_file
from bitat_deploy.cli.main import cli
from bitat_deploy.errors import InputError
from bitat_deploy.onnx_format import reference_logits
from bitat_deploy.progress import silent
from bitat_deploy.training.checkpoint import Checkpoint, save_checkpoint
from bitat_deploy.training.integer_network import integer_logits, load_checkpoint_network
from bitat_deploy.training.networks import build_network
from bitat_deploy.training.recipe import load_recipe


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = load_recipe("smoke")
    network = build_network(recipe.network, recipe.quantization, (28, 28, 1), 10)
    path = tmp_path_factory.mktemp("run") / "checkpoint.pt"
    names = tuple("abcdefghij")
    save_checkpoint(Checkpoint(recipe, names, (28, 28, 1), network.state_dict(), 3, 14), path)
    return path


@pytest.mark.parametrize(
    ("command", "model", "option"),
    [
        ("build", "checkpoint.pt", ("--mean", "0.5")),
        ("build", "model.onnx", ("--std", "0.2")),
        ("tune", "checkpoint.pt", ("--input-scale", "1")),
        ("tune", "model.onnx", ("--mean", "0.5,0.5,0.5")),
    ],
)
def test_our_own_networks_refuse_a_preprocessing(
    command: str,
    model: str,
    option: tuple[str, ...],
    checkpoint: Path,
    host_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = checkpoint if model == checkpoint.name else host_bundle / model
    output = {"build": ["-o", "bundle"], "tune": ["--records", "records.jsonl"]}[command]
    finished = CliRunner().invoke(cli, [command, str(path), *output, *option])
    assert isinstance(finished.exception, InputError)
    assert "leave out --mean, --std and --input-scale" in str(finished.exception)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_exported(checkpoint: Path) -> None:
    network = load_checkpoint_network(checkpoint)
    images = np.random.default_rng(1).integers(0, 256, (5, 28, 28, 1), dtype=np.uint8)
    with onnx_file(checkpoint, silent) as path:
        logits = reference_logits(path, images)
    assert np.array_equal(logits, integer_logits(network, images))
    assert not path.exists()
