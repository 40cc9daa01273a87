"""Runs that begin with, or learn from, another run's network."""

from pathlib import Path

import pytest
import torch

from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import Checkpoint, save_checkpoint
from bitat_deploy.training.networks import build_network
from bitat_deploy.training.recipe import Recipe, load_recipe
from bitat_deploy.training.twin import load_twin, teacher_logits

NO_STAGES = [f"{name}=null" for name in ("binary_activations", "progressive", "fine_tune", "bitat")]
FULL = ["method=full-precision", "distillation={}", *NO_STAGES]
UNIQ = ["method=uniq", "full_precision=null", "init=twin.pt", "distillation={}", *NO_STAGES]
UNIQ += ["quantized={epochs: 1, learning_rate: 0.01}"]
UNIQ += ["quantization={quantizer: uniq, weight_bits: 2, activation_bits: 2}"]


def finished(recipe: Recipe, path: Path, classes: int = 10) -> Checkpoint:
    shape = (28, 28, 1)
    network = build_network(recipe.network, recipe.quantization, shape, classes)
    names = tuple("abcdefghij"[:classes])
    result = {"top1": 0.5, "images": 200}
    checkpoint = Checkpoint(recipe, names, shape, network.state_dict(), result=result, stage=1)
    save_checkpoint(checkpoint, path)
    return checkpoint


def test_a_network_of_other_bits_begins_with_the_twin(tmp_path: Path) -> None:
    path = tmp_path / "twin.pt"
    twin = finished(load_recipe("smoke", [*FULL, "quantization.quantizer=uniq"]), path)
    recipe = load_recipe("smoke", UNIQ)
    network = build_network(recipe.network, recipe.quantization, (28, 28, 1), 10)
    load_twin(path, recipe, network)
    for name, value in network.state_dict().items():
        assert name.endswith("step") or torch.equal(value, twin.network[name]), name


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ([], "is of method 'bitat'"),
        (FULL, "another quantization.quantizer: sign, the recipe has uniq"),
        ([*FULL, "quantization.quantizer=uniq", "network.width=0.5"], "of another network"),
        ([*FULL, "quantization.quantizer=uniq", "dataset=cifar-10"], "of another dataset"),
    ],
)
def test_another_twin_is_refused(changes: list[str], complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "twin.pt"
    finished(load_recipe("smoke", changes), path)
    recipe = load_recipe("smoke", UNIQ)
    network = build_network(recipe.network, recipe.quantization, (28, 28, 1), 10)
    with pytest.raises(InputError, match=complaint):
        load_twin(path, recipe, network)


def test_a_teacher_answers_as_its_run_ended(tmp_path: Path) -> None:
    path = tmp_path / "teacher.pt"
    torch.manual_seed(1)
    full = finished(load_recipe("smoke", FULL), path)
    images = torch.randint(0, 256, (6, 28, 28, 1), dtype=torch.uint8)
    logits = teacher_logits(path, images, full.class_names)
    finished(load_recipe("smoke"), tmp_path / "binary.pt")
    assert logits.shape == (6, 10)
    binary = tmp_path / "binary.pt"
    assert not torch.equal(teacher_logits(binary, images, full.class_names), logits)
    with pytest.raises(InputError, match="other classes or image sizes"):
        teacher_logits(path, images, ("a", "b"))
    with pytest.raises(InputError, match="other classes or image sizes"):
        teacher_logits(path, images[:, :20], full.class_names)
