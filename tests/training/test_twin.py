"""Runs that begin with, or learn from, another run's network."""

from pathlib import Path

import pytest
import torch

from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import Checkpoint, save_checkpoint
from bitat_deploy.training.networks import build_network
from bitat_deploy.training.quantizers import WeightMode
from bitat_deploy.training.recipe import Recipe, load_recipe
from bitat_deploy.training.recipe_sections import QuantizationRecipe
from bitat_deploy.training.twin import load_teacher, load_twin

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
    names = tuple("abcdefghij")
    load_twin(path, recipe, network, names)
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
        load_twin(path, recipe, network, tuple("abcdefghij"))


@pytest.mark.parametrize("kept", [True, False])
def test_a_twin_of_other_classes_and_images_is_trained_further(kept: bool, tmp_path: Path) -> None:
    path = tmp_path / "twin.pt"
    twin = finished(load_recipe("smoke", [*FULL, "dataset=cifar-10"]), path, 10 if kept else 7)
    recipe = load_recipe("smoke", [f"init={path}", "quantization.nonlinearity=relu"])
    network = build_network(recipe.network, recipe.quantization, (20, 32, 1), 10)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    note = load_twin(path, recipe, network, tuple("abcdefghij"))
    assert note == f"began with '{path}'" + ("" if kept else ", the classifier made anew")
    for name, value in network.state_dict().items():
        new = name.startswith("classifier.") and not kept
        assert torch.equal(value, (before if new else twin.network)[name]), name
    without = load_recipe("smoke", [f"init={path}", "full_precision=null"])
    with pytest.raises(InputError, match=r"another dataset: .*; with full_precision it is trained"):
        load_twin(path, without, network, tuple("abcdefghij"))
    colour = build_network(recipe.network, recipe.quantization, (20, 32, 3), 10)
    with pytest.raises(InputError, match=r"another number of channels: 1, the recipe has 3$"):
        load_twin(path, recipe, colour, tuple("abcdefghij"))


def test_a_teacher_answers_as_its_run_ended(tmp_path: Path) -> None:
    path = tmp_path / "teacher.pt"
    torch.manual_seed(1)
    full = finished(load_recipe("smoke", FULL), path)
    binary = finished(load_recipe("smoke"), tmp_path / "binary.pt")
    images = torch.rand(6, 1, 28, 28)
    for checkpoint, quantized in ((full, False), (binary, True)):
        name = "binary.pt" if quantized else "teacher.pt"
        before = torch.get_rng_state()
        teacher = load_teacher(tmp_path / name, full.class_names, (28, 28, 1))
        assert torch.equal(torch.get_rng_state(), before)
        network = build_network(checkpoint.recipe.network, QuantizationRecipe(), (28, 28, 1), 10)
        network.load_state_dict(checkpoint.network)
        network.set_activations(quantized)
        network.set_weights(WeightMode.COMMITTED if quantized else WeightMode.FULL)
        assert torch.equal(teacher(images), network.eval()(images))
        assert not teacher.training
    for names, shape in ((("a", "b"), (28, 28, 1)), (full.class_names, (20, 28, 1))):
        with pytest.raises(InputError, match="other classes or image sizes"):
            load_teacher(path, names, shape)
