from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from bitat_deploy.errors import InputError
from bitat_deploy.training.recipe import load_recipe, recipe_from_mapping, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_in_the_package_loads(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe_from_mapping(asdict(recipe)) == recipe


def test_changes_are_applied_by_dotted_key() -> None:
    recipe = load_recipe("smoke", ["seed=9", "data.test_images=null", "fine_tune.epochs=1e-3"])
    assert (recipe.seed, recipe.data.test_images, recipe.fine_tune.epochs) == (9, None, 1e-3)


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    document = asdict(load_recipe("smoke"))
    del document["name"]
    document["network"]["blocks"] = [list(block) for block in document["network"]["blocks"]]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(document))
    assert load_recipe(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("data.batch_sizes=16", "cannot set"),
        ("nothing", "cannot set"),
        ("fine_tune.learning_rate=fast", "must be of type float"),
        ("seed=[1", "not valid YAML"),
        ("seed=one", "seed must be of type int"),
        ("data.flip=1", "data.flip must be of type bool"),
        ("network.blocks=[]", "blocks is empty"),
        ("network.blocks=[[64]]", "must have 2 numbers for mobilenet-v1"),
        ("network.blocks=[[64, 3]]", "strides must be 1 or 2"),
        ("network.width=0.001", "raise width"),
        ("data.batch_size=1", "at least 2"),
        ("fine_tune.learning_rate=0", "learning_rate must be above 0"),
        ("data.train_images=100", "must hold data.validation_images"),
        ("full_precision.epochs=0", "needs a full-precision twin"),
        ("progressive={}", "missing keys: calibration_images"),
    ],
)
def test_wrong_values_are_named(change: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        load_recipe("smoke", [change])


def test_unknown_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"choose one of: .*smoke"):
        load_recipe("imagenet")
    with pytest.raises(InputError, match="does not exist"):
        load_recipe(str(tmp_path / "none.yaml"))
    path = tmp_path / "broken.yaml"
    path.write_text("a: [1")
    with pytest.raises(InputError, match="not valid YAML"):
        load_recipe(str(path))
    path.write_text("- 1")
    with pytest.raises(InputError, match="not a mapping"):
        load_recipe(str(path))
    path.write_text("colour: red")
    with pytest.raises(InputError, match="unknown keys: colour; missing keys: "):
        load_recipe(str(path))
