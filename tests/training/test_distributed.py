"""Two processes train as one does, up to the order of float sums."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint
from bitat_deploy.training.distributed import Workers, synchronize_normalization
from tests.datasets.idx_files import write_folder

# A step of each kind of stage, then of the last one; signs that flip by rounding do so later.
SHORT = ["full_precision.epochs=0.25", "binary_activations.epochs=0.1", "fine_tune.epochs=0.1"]
SHORT += ["progressive={depthwise_epochs: 0.05, pointwise_epochs: 0.05, learning_rate: 0.003}"]
TOLERANCE = 2e-3  # of a weight; rates are 0.003 a step


def train(data: Path, output: Path, *launcher: str) -> Checkpoint:
    script = output.with_suffix(".py")
    script.write_text("from bitat_deploy.cli import main\nmain()\n")
    command = [sys.executable, *launcher, str(script), "train", "--recipe", "smoke"]
    command += ["--data", str(data), "--output", str(output), "--threads", "1"]
    for change in SHORT:
        command += ["--set", change]
    subprocess.run(command, check=True, capture_output=True)
    return load_checkpoint(output / "checkpoint.pt")


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data")
    one = train(data, tmp_path / "one")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two = train(data, tmp_path / "two", *launcher)
    assert [record["steps"] for record in two.epochs] == [r["steps"] for r in one.epochs]
    losses = [[record["loss"] for record in run.epochs] for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    for name, value in one.network.items():
        if value.is_floating_point():
            difference = (value - two.network[name]).abs()
            assert float(difference.mean()) < TOLERANCE, name


def test_parts_of_a_batch_are_equal() -> None:
    assert [Workers(rank, 4).part(64) for rank in (0, 3)] == [slice(0, 16), slice(48, 64)]
    with pytest.raises(InputError, match="64 cannot be divided by 3 processes"):
        Workers(0, 3).part(64)


def test_normalization_keeps_its_parameters() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sequential(nn.BatchNorm2d(2)))
    images = torch.randn(3, 1, 4, 4)
    network(images)
    expected = network.eval()(images)
    names = list(network.state_dict())
    synchronize_normalization(network)
    assert type(network[1][0]) is not nn.BatchNorm2d
    assert list(network.state_dict()) == names
    torch.testing.assert_close(network.eval()(images), expected)
