from pathlib import Path

import pytest
import yaml

from bitat_deploy.errors import InputError
from bitat_deploy.training.recipe import load_recipe, recipe_from_mapping, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_in_the_package_loads(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe_from_mapping(recipe.plain()) == recipe


def test_changes_are_applied_by_dotted_key() -> None:
    recipe = load_recipe("smoke", ["seed=9", "data.test_images=50", "fine_tune.epochs=1e-3"])
    assert (recipe.seed, recipe.data.test_images, recipe.sections.fine_tune.epochs) == (9, 50, 1e-3)
    assert not load_recipe("smoke", ["bitat.trained_basis=false"]).sections.bitat.trained_basis


STRAIGHT = ["method=straight-through", "quantized={epochs: 1, learning_rate: 0.01}"]
STRAIGHT += [f"{name}=null" for name in ("binary_activations", "progressive", "fine_tune", "bitat")]


def test_one_recipe_becomes_another_method() -> None:
    assert load_recipe("smoke", STRAIGHT).sections.quantized.warmup_epochs == 0
    uniq = ["method=uniq", "quantization={quantizer: uniq, weight_bits: 2, activation_bits: 2}"]
    assert load_recipe("smoke", [*STRAIGHT, *uniq]).quantization.weight_bits == 2
    twin = ["full_precision=null", "init=runs/twin/checkpoint.pt"]
    assert load_recipe("smoke", [*STRAIGHT, *twin]).init == "runs/twin/checkpoint.pt"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (["method=straight-through"], "binary_activations is no section of method 'straight-"),
        ([*STRAIGHT, "quantized=null"], "needs the section quantized"),
        ([*STRAIGHT, "bitat.max_rows=64"], "bitat is no section of method 'straight-through'"),
        ([*STRAIGHT, "full_precision=null"], "give full_precision to train it, init to read it"),
        ([*STRAIGHT, "quantization.quantizer=uniq"], "contradict each other"),
        (["quantization.weight_bits=2"], "take quantizer 'uniq'"),
        (["method=sign"], "method must be one of .*reactnet, straight-through, uniq"),
        (["network.architecture=mobilenet-v2"], "lists of 4 numbers each for mobilenet-v2"),
        (["sections.fine_tune=1"], "sections is no section of method 'bitat'"),
        (["network.architecture=lenet-9"], "network.architecture must be one of .*mobilenet-v1"),
        (["quantization.quantizer=lsq"], "quantization.quantizer must be one of sign, uniq"),
        (["distillation={weight: 0, teacher: a.pt}"], "teacher is given but weight is 0"),
    ],
)
def test_contradictions_are_named(changes: list[str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        load_recipe("smoke", changes)


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    document = load_recipe("smoke").plain()
    del document["name"]
    document["network"]["blocks"] = [list(block) for block in document["network"]["blocks"]]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(document))
    assert load_recipe(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("data.batch_sizes=16", "data has unknown keys: batch_sizes"),
        ("nothing", "write key=value"),
        ("dataset.name=3", "'dataset' has no keys"),
        ("fine_tune.learning_rate=fast", "must be of type float"),
        ("seed=[1", "is not YAML"),
        ("seed=&a [*a]", "alias"),
        ("name=../../x", "name must be 1 to 100 letters"),
        ("seed=one", "seed must be of type int"),
        ("data.flip=1", "data.flip must be of type bool"),
        ("network.blocks=[]", "network.blocks is empty"),
        ("network.blocks=[[64]]", "network.blocks must hold lists of 2 numbers"),
        ("network.blocks=[[64, 3]]", "strides must be 1 or 2"),
        ("network.width=0.001", "network.width leaves a layer without a channel"),
        ("data.batch_size=1", "at least 2"),
        ("fine_tune.learning_rate=0", "fine_tune.learning_rate must be above 0"),
        ("fine_tune.warmup_epochs=3", "fine_tune.warmup_epochs must be between 0 and epochs"),
        ("data.train_images=100", "must hold data.validation_images"),
        ("progressive={}", "missing keys: depthwise_epochs"),
        ("data.group='('", "data.group is no regular expression"),
        ("data.random_resized_crop=[0.9, 0.3]", "random_resized_crop must be two shares"),
        ("data.color_jitter={contrast: 2}", "color_jitter.contrast must be between 0 and 1"),
        ("optimizer={ema: 1}", "optimizer.ema must be at least 0 and below 1"),
        ("optimizer={kind: lion}", "optimizer.kind must be one of adam, adamw, sgd"),
        ("bitat.reduction=rows", "bitat.reduction must be one of"),
    ],
)
def test_wrong_values_are_named(change: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        load_recipe("smoke", [change])


def test_unknown_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"choose one of: .*smoke"):
        load_recipe("imagenet")
    with pytest.raises(InputError, match="is not a file"):
        load_recipe(str(tmp_path / "none.yaml"))
    path = tmp_path / "broken.yaml"
    path.write_text("a: [1")
    with pytest.raises(InputError, match="is not YAML"):
        load_recipe(str(path))
    path.write_text("- 1")
    with pytest.raises(InputError, match="not a mapping"):
        load_recipe(str(path))
    path.write_text("colour: red")
    with pytest.raises(InputError, match="unknown keys: colour; missing keys: "):
        load_recipe(str(path))
