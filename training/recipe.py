"""A training recipe: every hyper-parameter of a run, read from one YAML file."""

import dataclasses
import types
import typing
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from bitat_deploy.errors import InputError


@dataclass(frozen=True)
class NetworkRecipe:
    """Which network, in numbers of channels that ``width`` multiplies.

    ``architecture``: "mobilenet-v1", whose ``blocks`` are (channels, stride), or "mobilenet-v2",
    whose are (expansion, channels, repeats, stride). ``block``: "chain" (no float between binary
    layers), "shortcut" (a shortcut around each) or "reactnet" (ReActNet-A's block).
    """

    architecture: str
    block: str
    width: float
    stem_channels: int
    stem_stride: int
    blocks: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class QuantizationRecipe:
    """How weights and activations are quantized.

    ``quantizer``: "sign" (-1 and +1, scales mean|w|) or "uniq" (UniQ's learned steps, 1 to 4 bits
    or 8). UniQ alone: ``per_channel`` gives each filter a step of its own; ``signed_bottleneck``
    keeps the sign of what MobileNetV2's linear bottlenecks give. ``depthwise``: depthwise layers
    are quantized like the others.
    """

    quantizer: str = "sign"
    weight_bits: int = 1
    activation_bits: int = 1
    per_channel: bool = False
    signed_bottleneck: bool = False
    depthwise: bool = True


@dataclass(frozen=True)
class DataRecipe:
    """Images used and how they are varied: flips left to right, shifts by up to so many pixels.

    ``train_images`` and ``test_images`` limit the data set (None: all of it);
    ``validation_images`` are held out of the training images to watch progress by.
    """

    train_images: int | None
    validation_images: int
    test_images: int | None
    batch_size: int
    flip: bool
    shift: int


@dataclass(frozen=True)
class StageRecipe:
    """Epochs (a fraction is allowed) and Adam's first learning rate; cosine decay to zero."""

    epochs: float
    learning_rate: float


@dataclass(frozen=True)
class FineTuneRecipe:
    """The last, joint stage: batch normalisation (alpha and thresholds with it), the 8-bit stem
    and classifier; where ``signs`` is true also the committed signs, straight-through.
    """

    epochs: float
    learning_rate: float
    signs: bool


@dataclass(frozen=True)
class ProgressiveRecipe:
    """BiTAT's layer-by-layer stage; epochs are for each layer of the kind.

    ``importance_weight`` is lambda of loss (1), relative to the output's energy;
    ``descent_sweeps`` are the commit's passes over all signs.
    """

    depthwise_epochs: float
    pointwise_epochs: float
    learning_rate: float
    importance_weight: float
    calibration_images: int
    descent_sweeps: int


@dataclass(frozen=True)
class DistillationRecipe:
    """``weight`` of the soft cross-entropy to the full-precision twin, at ``temperature``."""

    weight: float
    temperature: float


@dataclass(frozen=True)
class Recipe:
    """All of a run's hyper-parameters. See ``training/recipes`` for examples."""

    name: str
    description: str
    dataset: str
    seed: int
    network: NetworkRecipe
    quantization: QuantizationRecipe
    data: DataRecipe
    full_precision: StageRecipe
    binary_activations: StageRecipe
    progressive: ProgressiveRecipe
    fine_tune: FineTuneRecipe
    distillation: DistillationRecipe


def recipe_names() -> list[str]:
    """Names of the recipes in the package, sorted."""
    files = (Path(entry.name) for entry in _directory().iterdir())
    return sorted(file.stem for file in files if file.suffix == ".yaml")


def load_recipe(name: str, changes: typing.Sequence[str] = ()) -> Recipe:
    """Read a recipe by name, or by path when ``name`` ends in .yaml, and apply ``changes``.

    A change is "key=value" with a dotted key ("data.batch_size=64"); the value is YAML.
    Raises InputError for an unknown name or key, a missing key, or a value out of range.
    """
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
    for change in changes:
        _apply(document, change)
    return recipe_from_mapping({"name": stem, **document})


def recipe_from_mapping(document: dict[str, Any]) -> Recipe:
    """Build and check a recipe from plain values, as YAML or a checkpoint holds them."""
    recipe: Recipe = _build(Recipe, document, "recipe")
    _check(recipe)
    return recipe


def _directory() -> Any:
    return resources.files("bitat_deploy.training").joinpath("recipes")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _apply(document: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    *parents, last = key.split(".")
    target: Any = document
    for parent in parents:
        target = target.get(parent) if isinstance(target, dict) else None
    if not equals or not isinstance(target, dict) or last not in target:
        raise InputError(f"cannot set '{change}': write key=value with a key of the recipe")
    try:
        target[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"cannot set '{change}': the value is not valid YAML") from error


def _build(kind: Any, value: Any, where: str) -> Any:
    """Turn plain YAML values into ``kind``, complaining with the dotted key ``where``."""
    if dataclasses.is_dataclass(kind):
        return _build_record(kind, value, where)
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        inner = next(part for part in typing.get_args(kind) if part is not type(None))
        return None if value is None else _build(inner, value, where)
    if origin is tuple:
        inner = typing.get_args(kind)
        if not isinstance(value, list | tuple):
            raise InputError(f"{where} must be a list, not {value!r}")
        if inner[-1] is Ellipsis:
            return tuple(_build(inner[0], entry, f"{where}[{i}]") for i, entry in enumerate(value))
        if len(value) != len(inner):
            raise InputError(f"{where} must have {len(inner)} entries, not {len(value)}")
        pairs = zip(inner, value, strict=True)
        return tuple(_build(part, entry, f"{where}[{i}]") for i, (part, entry) in enumerate(pairs))
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-3, without a point, as text
        except ValueError:
            pass
    if type(value) is not kind:
        raise InputError(f"{where} must be of type {kind.__name__}, not {value!r}")
    return value


def _build_record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise InputError(f"{where} must be a mapping of keys to values, not {value!r}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(str(key) for key in set(value) - set(hints))
    missing = sorted(set(hints) - set(value))
    if unknown or missing:
        parts = [f"unknown keys: {', '.join(unknown)}"] if unknown else []
        parts += [f"missing keys: {', '.join(missing)}"] if missing else []
        raise InputError(f"{where} has {'; '.join(parts)}")
    prefix = "" if where == "recipe" else f"{where}."
    return kind(**{key: _build(hints[key], value[key], f"{prefix}{key}") for key in hints})


def _check(recipe: Recipe) -> None:
    network, data, progressive = recipe.network, recipe.data, recipe.progressive
    stages = (recipe.full_precision, recipe.binary_activations, recipe.fine_tune)
    rates = [stage.learning_rate for stage in stages] + [progressive.learning_rate]
    epochs = [stage.epochs for stage in stages]
    epochs += [progressive.depthwise_epochs, progressive.pointwise_epochs]
    channels = [network.stem_channels, *(block[0] for block in network.blocks)]
    entries = 4 if network.architecture == "mobilenet-v2" else 2
    strides = [network.stem_stride, *(block[-1] for block in network.blocks)]
    rules = (
        (len(network.blocks) > 0, "network.blocks is empty"),
        (
            all(len(block) == entries for block in network.blocks),
            f"each entry of network.blocks must have {entries} numbers for {network.architecture}",
        ),
        (all(int(network.width * c) >= 1 for c in channels), "a layer has no channel: raise width"),
        (all(stride in (1, 2) for stride in strides), "strides must be 1 or 2"),
        (data.batch_size >= 2, "data.batch_size must be at least 2 (batch normalisation)"),
        (data.shift >= 0, "data.shift must not be negative"),
        (all(0 < rate <= 1 for rate in rates), "every learning_rate must be above 0, at most 1"),
        (all(number >= 0 for number in epochs), "epochs must not be negative"),
        (progressive.calibration_images > 0, "progressive.calibration_images must be positive"),
        (progressive.descent_sweeps >= 0, "progressive.descent_sweeps must not be negative"),
        (progressive.importance_weight >= 0, "progressive.importance_weight must not be negative"),
        (0 <= recipe.distillation.weight <= 1, "distillation.weight must be between 0 and 1"),
        (recipe.distillation.temperature > 0, "distillation.temperature must be positive"),
        (
            recipe.distillation.weight == 0 or recipe.full_precision.epochs > 0,
            "distillation.weight needs a full-precision twin: set full_precision.epochs above 0",
        ),
        (
            data.train_images is None
            or data.train_images >= data.validation_images + data.batch_size,
            "data.train_images must hold data.validation_images and one batch",
        ),
    )
    for holds, complaint in rules:
        if not holds:
            raise InputError(f"recipe '{recipe.name}': {complaint}")
