import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import (
    FORMAT,
    VERSION,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from bitat_deploy.training.errors import CheckpointNotSavedError
from bitat_deploy.training.integer_network import load_checkpoint_network
from bitat_deploy.training.networks import build_network
from bitat_deploy.training.recipe import load_recipe


@pytest.fixture
def checkpoint() -> Checkpoint:
    recipe = load_recipe("smoke")
    network = build_network(recipe.network, recipe.quantization, (28, 28, 1), 10)
    names = tuple("abcdefghij")
    return Checkpoint(recipe, names, (28, 28, 1), network.state_dict(), stage=3, step=14)


def test_round_trip(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "new" / "checkpoint.pt"
    save_checkpoint(checkpoint, path)
    loaded = load_checkpoint(path)
    assert (loaded.recipe, loaded.stage, loaded.step) == (checkpoint.recipe, 3, 14)
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


def test_network_carries_where_it_comes_from(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(
        replace(checkpoint, result={"top1": 0.5, "images": 200}), tmp_path / "checkpoint.pt"
    )
    network = load_checkpoint_network(tmp_path / "checkpoint.pt")
    assert network.metadata["top1"] == "0.5000"
    assert network.metadata["images"] == "200"
    assert network.metadata["recipe"] == "smoke"
    assert network.metadata["seed"] == "1"


def test_unusable_files_are_told_apart(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(InputError, match="does not exist"):
        load_checkpoint_network(path)
    path.write_text("not a checkpoint")
    with pytest.raises(InputError, match="damaged or not a checkpoint"):
        load_checkpoint_network(path)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="not a checkpoint of bitat-deploy"):
        load_checkpoint_network(path)
    torch.save({"format": FORMAT, "version": 99}, path)
    with pytest.raises(InputError, match="has version 99"):
        load_checkpoint_network(path)
    torch.save({"format": FORMAT, "version": VERSION, "step": 2}, path)
    with pytest.raises(InputError, match="keys are not those"):
        load_checkpoint_network(path)
    save_checkpoint(checkpoint, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="damaged or not a checkpoint"):
        load_checkpoint_network(path)


@pytest.mark.parametrize("version", [3, 4])
def test_of_older_runs_those_that_are_over_are_read(version: int, tmp_path: Path) -> None:
    """Without the batch normalisations that streams did not have."""
    path = tmp_path / "checkpoint.pt"
    recipe = load_recipe("fashion-mnist-shortcut", ["network.normalized_stream=false"])
    network = build_network(recipe.network, recipe.quantization, (28, 28, 1), 10)
    network(torch.rand(4, 1, 28, 28))
    state, result = network.state_dict(), {"top1": 0.5, "images": 200}
    old = Checkpoint(recipe, tuple("abcdefghij"), (28, 28, 1), state, result=result)
    save_checkpoint(old, path)
    document = torch.load(path, weights_only=True) | {"version": version}
    document["teacher"] = torch.zeros(8, 10)  # logits
    del document["resumed"]
    if version == 3:
        document["bitat"] = document.pop("memory")
        document["recipe"] |= {"fine_tune": None}  # it named the sections of all methods
    for section, key in (("network", "normalized_stream"), ("quantization", "nonlinearity")):
        del document["recipe"][section][key]
    torch.save(document, path)
    assert load_checkpoint(path).recipe == recipe
    assert load_checkpoint_network(path).metadata["top1"] == "0.5000"
    torch.save(document | {"result": None}, path)
    with pytest.raises(InputError, match=r"an earlier version began, .*; finish it with"):
        load_checkpoint(path)


def test_a_file_from_before_resumptions_were_counted(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(checkpoint, tmp_path / "checkpoint.pt")
    document = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del document["resumed"]
    torch.save(document, tmp_path / "checkpoint.pt")
    assert load_checkpoint(tmp_path / "checkpoint.pt").resumed == ()


def test_weights_of_another_shape(checkpoint: Checkpoint, tmp_path: Path) -> None:
    recipe = load_recipe("smoke", ["network.width=0.5"])
    other = build_network(recipe.network, recipe.quantization, (28, 28, 1), 10)
    save_checkpoint(replace(checkpoint, network=other.state_dict()), tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="do not fit its recipe"):
        load_checkpoint_network(tmp_path / "checkpoint.pt")


def test_a_full_disk_keeps_the_checkpoint_before(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(checkpoint, path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(CheckpointNotSavedError, match="the one before it is kept: free some"):
            save_checkpoint(replace(checkpoint, step=15), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
