"""A training recipe: every hyper-parameter of a run, read from one YAML file."""

import reprlib
import typing
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

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

    ``sections`` are those of the ``method``; in YAML they stand beside the other keys. Every
    method begins with the full-precision twin, trained in the run (``full_precision``), read from
    the checkpoint of another run of the same network (``init``), or both: then the run may be of
    other classes and images, or the file a state_dict of torchvision's MobileNetV2.
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


def recipe_names() -> list[str]:
    """Names of the recipes in the package, sorted."""
    return sorted(path.stem for path in _directory().glob("*.yaml"))


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
    if name.endswith(".yaml"):
        path = Path(name)
    elif name in recipe_names():
        path = _directory() / f"{name}.yaml"
    else:
        raise InputError(f"unknown recipe '{name}'; choose one of: {', '.join(recipe_names())}")
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


def _directory() -> Path:
    return Path(str(resources.files("bitat_deploy.training"))) / "recipes"
