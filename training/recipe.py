"""A training recipe: every hyper-parameter of a run, read from one YAML file."""

import typing
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from bitat_deploy.errors import InputError
from bitat_deploy.plain_values import build_record
from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.recipe_sections import (
    DataRecipe,
    DistillationRecipe,
    FineTuneRecipe,
    NetworkRecipe,
    OptimizerRecipe,
    ProgressiveRecipe,
    QuantizationRecipe,
    StageRecipe,
)

__all__ = [
    "METHODS",
    "DataRecipe",
    "DistillationRecipe",
    "FineTuneRecipe",
    "NetworkRecipe",
    "OptimizerRecipe",
    "ProgressiveRecipe",
    "QuantizationRecipe",
    "Recipe",
    "StageRecipe",
    "load_recipe",
    "recipe_from_mapping",
    "recipe_names",
]

# The stages of each method after its full-precision twin: the recipe has a section for each.
METHODS = {
    "full-precision": (),
    "straight-through": ("quantized",),
    "uniq": ("quantized",),
    "reactnet": ("binary_activations", "quantized"),
    "bitat": ("binary_activations", "progressive", "fine_tune"),
}

_METHOD_TEXTS = {
    "full-precision": "full precision",
    "straight-through": "straight-through sign, scales mean|w| (XNOR-Net, arXiv 1603.05279)",
    "uniq": "UniQ, learned steps (arXiv 2104.00210)",
    "reactnet": "two steps, activations first (ReActNet, arXiv 2003.03488)",
    "bitat": "BiTAT (arXiv 2207.01394), layer by layer, our reconstruction",
}


@dataclass(frozen=True)
class Recipe:
    """All of a run's hyper-parameters. See ``training/recipes`` for examples.

    ``method`` says which stages there are, see :data:`METHODS`: each has its section, the others
    are None. Every method begins with the full-precision twin, trained in the run
    (``full_precision``) or read from the checkpoint of another run of the same network (``init``).
    ``bitat`` switches the parts of BiTAT.
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
    binary_activations: StageRecipe | None = None
    quantized: StageRecipe | None = None
    progressive: ProgressiveRecipe | None = None
    fine_tune: FineTuneRecipe | None = None
    bitat: BitatOptions | None = None
    distillation: DistillationRecipe = field(default_factory=DistillationRecipe)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method must be one of {', '.join(METHODS)}, not '{self.method}'")
        wanted = METHODS[self.method]
        for name in ("binary_activations", "quantized", "progressive", "fine_tune"):
            given = getattr(self, name) is not None
            if given and name not in wanted:
                raise InputError(f"{name} is no stage of method '{self.method}': remove it")
            if name in wanted and not given:
                raise InputError(f"method '{self.method}' needs the section {name}")
        self._check_twin()
        if self.bitat is not None and self.method != "bitat":
            raise InputError(f"bitat is for method 'bitat', not '{self.method}': remove it")
        uniq = self.quantization.quantizer == "uniq"
        if self.method != "full-precision" and uniq != (self.method == "uniq"):
            raise InputError(
                f"method '{self.method}' and quantization.quantizer "
                f"'{self.quantization.quantizer}' contradict each other"
            )
        if self.quantization.signed_bottleneck and self.network.architecture != "mobilenet-v2":
            raise InputError("quantization.signed_bottleneck is for mobilenet-v2")

    @property
    def bitat_options(self) -> BitatOptions:
        """The parts of BiTAT, those by default where the recipe says nothing."""
        return self.bitat or BitatOptions()

    @property
    def method_text(self) -> str:
        """The method in words, for a network's metadata."""
        text = _METHOD_TEXTS[self.method]
        if self.fine_tune is not None and self.fine_tune.signs:
            text += "; then signs fine-tuned together, straight-through"
        return text

    def _check_twin(self) -> None:
        """Where the full-precision twin comes from."""
        if self.method == "full-precision":
            if self.full_precision is None or self.init is not None:
                raise InputError("method 'full-precision' needs full_precision, and no init")
            if self.distillation.weight and self.distillation.teacher is None:
                raise InputError("distillation.weight needs distillation.teacher here")
        elif (self.full_precision is None) == (self.init is None):
            raise InputError(
                "the full-precision twin is either trained (full_precision) or read (init): "
                "give one of the two"
            )


def recipe_names() -> list[str]:
    """Names of the recipes in the package, sorted."""
    files = (Path(entry.name) for entry in _directory().iterdir())
    return sorted(file.stem for file in files if file.suffix == ".yaml")


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
        if not path.is_file():
            raise InputError(f"recipe file '{name}' does not exist")
        text, stem = path.read_text(), path.stem
    elif name in recipe_names():
        text, stem = _directory().joinpath(f"{name}.yaml").read_text(), name
    else:
        raise InputError(f"unknown recipe '{name}'; choose one of: {', '.join(recipe_names())}")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"recipe '{name}' is not valid YAML: {_one_line(error)}") from error
    if not isinstance(document, dict):
        raise InputError(f"recipe '{name}' is not a mapping of keys to values")
    return {"name": stem, **document}


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
    try:
        target[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"cannot set '{change}': the value is not valid YAML") from error


def recipe_from_mapping(document: dict[str, Any]) -> Recipe:
    """Build and check a recipe from plain values, as YAML or a checkpoint holds them."""
    try:
        recipe: Recipe = build_record(Recipe, document, "recipe")
    except InputError as error:
        raise InputError(f"recipe '{document.get('name')}': {error}") from error
    return recipe


def _directory() -> Any:
    return resources.files("bitat_deploy.training").joinpath("recipes")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
