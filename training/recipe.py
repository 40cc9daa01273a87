"""A training recipe: every hyper-parameter of a run, read from one YAML file."""

import reprlib
import textwrap
import typing
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from bitat_deploy.errors import InputError
from bitat_deploy.plain_text import NAME_RULE, is_name
from bitat_deploy.plain_values import build_record
from bitat_deploy.training.methods import Method
from bitat_deploy.training.networks import QuantizedNetwork
from bitat_deploy.training.recipe_sections import (
    DataRecipe,
    DistillationRecipe,
    NetworkRecipe,
    OptimizerRecipe,
    QuantizationRecipe,
    StageRecipe,
)
from bitat_deploy.training.registry import ARCHITECTURES, METHODS
from bitat_deploy.training.stages import FullPrecision, Stage
from bitat_deploy.yaml_file import parse_yaml, read_yaml


@dataclass(frozen=True)
class Recipe:
    """All of a run's hyper-parameters. See ``training/recipes`` for examples.

    ``sections`` are those of the ``method``; in YAML they stand beside the other keys.

    name: of the run and its network; without it the file's name.
    description: one line for lists.
    dataset: "fashion-mnist", "cifar-10", "cifar-100", "gtsrb" or "image-folder".
    method: how the network is trained, with the sections that belong to it.
    network: its shape.
    quantization: its numbers of bits.
    data: images and their variation.
    seed: of everything that is drawn.
    init: where the full-precision twin begins: the path of a finished run's checkpoint; with
        full_precision, which trains it further, also of a run of other classes and images, a
        state_dict of torchvision's mobilenet_v2, or the name of a network in the zoo.
    optimizer: of all stages.
    full_precision: the stage that trains the full-precision twin, with which every method begins;
        null takes it from init as it is.
    distillation: learning from a teacher.
    """

    name: str
    description: str
    dataset: str
    method: str
    network: NetworkRecipe
    quantization: QuantizationRecipe = field(default_factory=QuantizationRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    seed: int = 1
    init: str | None = None
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    full_precision: StageRecipe | None = None
    distillation: DistillationRecipe = field(default_factory=DistillationRecipe)
    sections: Method = field(default_factory=Method)

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise InputError(f"name must be {NAME_RULE}, not {reprlib.repr(self.name)}")
        method, quantizer = METHODS[self.method], self.quantization.quantizer
        self._check_twin(method)
        if method.quantizer not in (None, quantizer):
            raise InputError(
                f"method '{self.method}' and quantization.quantizer '{quantizer}' contradict "
                "each other"
            )
        bottlenecks = ARCHITECTURES[self.network.architecture].linear_bottlenecks
        if self.quantization.signed_bottleneck and not bottlenecks:
            raise InputError(
                f"quantization.signed_bottleneck is not for {self.network.architecture}: it has no "
                "linear bottlenecks"
            )

    def stages(self, network: QuantizedNetwork) -> list[Stage]:
        """The stages in order, the full-precision twin's first."""
        twin = [] if self.full_precision is None else [FullPrecision(network, self.full_precision)]
        return [*twin, *self.sections.stages(network)]

    def plain(self) -> dict[str, Any]:
        """Plain values with the keys of the YAML file, for :func:`recipe_from_mapping`."""
        values = asdict(self)
        sections = values.pop("sections")
        return values | sections

    def _check_twin(self, method: type[Method]) -> None:
        """Where the full-precision twin comes from."""
        if not method.quantizes:
            if self.full_precision is None:
                raise InputError(f"method '{self.method}' needs full_precision")
            if self.distillation.weight and self.distillation.teacher is None:
                raise InputError("distillation.weight needs distillation.teacher here")
        elif self.full_precision is None and self.init is None:
            raise InputError(
                "there is no full-precision twin: give full_precision to train it, init to read "
                "it, or both to train it further"
            )


def recipe_text(recipe: Recipe, comments: typing.Sequence[str] = ()) -> str:
    """The recipe as YAML with all its values, below lines of comments; load_recipe reads it."""
    head = "".join(f"# {line}\n" for comment in comments for line in textwrap.wrap(comment, 98))
    values = {key: _listed(value) for key, value in recipe.plain().items() if value is not None}
    return head + yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=100)


def _listed(value: Any) -> Any:
    """With lists for tuples, as YAML has no others."""
    if isinstance(value, dict):
        return {key: _listed(part) for key, part in value.items()}
    return [_listed(part) for part in value] if isinstance(value, list | tuple) else value


def recipe_file(name: str) -> Path:
    """Where a recipe is, given its name, or its path if that ends in .yaml.

    Raises InputError for an unknown name.
    """
    if name.endswith(".yaml"):
        return Path(name)
    if name in recipe_names():
        return recipe_directory() / f"{name}.yaml"
    raise InputError(f"unknown recipe '{name}'; choose one of: {', '.join(recipe_names())}")


def recipe_names() -> list[str]:
    """Names of the recipes in the package, sorted."""
    return sorted(path.stem for path in recipe_directory().glob("*.yaml"))


def load_recipe(name: str, changes: typing.Sequence[str] = ()) -> Recipe:
    """Read a recipe by name, or by path when ``name`` ends in .yaml, and apply ``changes``.

    A change is "key=value" with a dotted key ("data.batch_size=64"); the value is YAML.
    Raises InputError for an unknown name or key, a missing key, or a value out of range.
    """
    document = read_recipe(name)
    for change in changes:
        apply_change(document, change)
    return recipe_from_mapping(document)


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe's plain values as its file has them, with its name. Errors as load_recipe."""
    path = recipe_file(name)
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise InputError(f"recipe '{name}' is not a mapping of keys to values")
    return {"name": path.stem, **document}


def apply_change(document: dict[str, Any], change: str) -> None:
    """Set one "key=value" in a recipe's plain values; a wrong key is found when it is built."""
    key, equals, text = change.partition("=")
    *parents, last = key.split(".")
    target: Any = document
    for parent in parents:
        if target.get(parent) is None:
            target[parent] = {}
        target = target[parent]
        if not isinstance(target, dict):
            raise InputError(f"cannot set '{change}': '{parent}' has no keys")
    if not equals or not last:
        raise InputError(f"cannot set '{change}': write key=value with a key of the recipe")
    target[last] = parse_yaml(text, f"the value in '{change}'")


def recipe_from_mapping(document: dict[str, Any]) -> Recipe:
    """Build and check a recipe from plain values, as YAML or a checkpoint holds them."""
    try:
        return _built(document)
    except InputError as error:
        raise InputError(f"recipe '{document.get('name')}': {error}") from error


def _built(document: dict[str, Any]) -> Recipe:
    name = document.get("method")
    if not isinstance(name, str):
        recipe: Recipe = build_record(Recipe, document, "recipe")  # says what is missing
        return recipe
    sections = {entry.name: entry for entry in fields(METHODS[name])}
    foreign = {entry.name for other in METHODS for entry in fields(METHODS[other])} - set(sections)
    for key, value in document.items():
        if key in foreign | {"sections"} and value is not None:
            raise InputError(f"{key} is no section of method '{name}': remove it")
    given = {key: document[key] for key in sections if document.get(key) is not None}
    for key, entry in sections.items():
        required = entry.default is MISSING and entry.default_factory is MISSING
        if required and key not in given:
            raise InputError(f"method '{name}' needs the section {key}")
    rest = {key: document[key] for key in document if key not in foreign | set(sections)}
    recipe = build_record(Recipe, rest, "recipe")
    return replace(recipe, sections=build_record(METHODS[name], given, "recipe"))


def recipe_directory() -> Path:
    """The folder of the package's recipes."""
    return Path(str(resources.files("bitat_deploy.training"))) / "recipes"
