"""The sections of a recipe: each checks itself, naming its keys; defaults keep recipes short."""

import math
from dataclasses import dataclass

from bitat_deploy.errors import InputError

# What an entry of ``blocks`` holds, by architecture, and the kinds of block there are of it.
ENTRIES = {
    "mobilenet-v1": ("channels", "stride"),
    "mobilenet-v2": ("expansion", "channels", "repeats", "stride"),
}
BLOCKS = {
    "mobilenet-v1": ("chain", "shortcut", "reactnet"),
    "mobilenet-v2": ("chain", "shortcut"),
}
QUANTIZERS = ("sign", "uniq")
OPTIMIZERS = ("adam", "adamw", "sgd")
RATE_SCHEDULES = ("cosine", "linear")
BITS = (1, 2, 3, 4, 8)


@dataclass(frozen=True)
class NetworkRecipe:
    """Which network, in numbers of channels that ``width`` multiplies.

    ``architecture`` is one of :data:`ENTRIES`, which says what each of ``blocks`` holds.
    ``block``: "chain" (no float between binary layers), "shortcut" (a shortcut around each) or
    "reactnet" (ReActNet-A's block); each architecture has its :data:`BLOCKS`.
    """

    architecture: str
    block: str
    width: float
    stem_channels: int
    stem_stride: int
    blocks: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        _choose("architecture", self.architecture, tuple(ENTRIES))
        _choose(f"block of {self.architecture}", self.block, BLOCKS[self.architecture])
        entries = ENTRIES[self.architecture]
        if not self.blocks:
            raise InputError("blocks is empty")
        if any(len(block) != len(entries) for block in self.blocks):
            raise InputError(
                f"blocks must hold lists of {len(entries)} numbers each for {self.architecture}: "
                f"{_listed(entries)}"
            )
        if any(number < 1 for block in self.blocks for number in block):
            raise InputError(f"blocks must hold numbers of at least 1 ({_listed(entries)})")
        columns = dict(zip(entries, zip(*self.blocks, strict=True), strict=True))
        if any(stride not in (1, 2) for stride in (self.stem_stride, *columns["stride"])):
            raise InputError("blocks and stem_stride: strides must be 1 or 2")
        if any(int(self.width * n) < 1 for n in (self.stem_channels, *columns["channels"])):
            raise InputError("width leaves a layer without a channel: raise it")


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

    def __post_init__(self) -> None:
        _choose("quantizer", self.quantizer, QUANTIZERS)
        bits = (self.weight_bits, self.activation_bits)
        if any(count not in BITS for count in bits):
            raise InputError(f"weight_bits and activation_bits must be one of {_listed(BITS)}")
        if self.quantizer == "sign":
            if bits != (1, 1):
                raise InputError(
                    "quantizer 'sign' has 1 bit; take quantizer 'uniq' for weight_bits "
                    f"{self.weight_bits} and activation_bits {self.activation_bits}"
                )
            if self.per_channel or self.signed_bottleneck:
                raise InputError("per_channel and signed_bottleneck are for quantizer 'uniq'")


@dataclass(frozen=True)
class DataRecipe:
    """Images used and how they are varied: flips left to right, shifts by up to so many pixels.

    ``train_images`` and ``test_images`` limit the data set (None: all of it);
    ``validation_images`` are held out of the training images to watch progress by. ``batch_size``
    is that of all processes together. ``calibration_images``, from the start of the training
    images, serve statistics, first steps and batch normalisation. ``image_size`` is the side in
    pixels to which images of an image folder are brought.
    """

    train_images: int | None = None
    validation_images: int = 2000
    test_images: int | None = None
    batch_size: int = 64
    flip: bool = True
    shift: int = 2
    calibration_images: int = 2000
    image_size: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise InputError("batch_size must be at least 2 (batch normalisation)")
        if self.shift < 0:
            raise InputError("shift must not be negative")
        if self.validation_images < 0:
            raise InputError("validation_images must not be negative")
        if self.calibration_images < 1:
            raise InputError("calibration_images must be positive")
        if self.test_images is not None and self.test_images < 1:
            raise InputError("test_images must be positive, or null for all")
        if self.image_size is not None and self.image_size < 1:
            raise InputError("image_size must be positive, or null")
        needed = self.validation_images + self.batch_size
        if self.train_images is not None and self.train_images < needed:
            raise InputError(
                f"train_images must hold data.validation_images and one batch: {needed} or more"
            )


@dataclass(frozen=True)
class OptimizerRecipe:
    """``kind`` with its ``momentum`` (SGD) and ``weight_decay``; how the rate falls to 0."""

    kind: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        _choose("kind", self.kind, OPTIMIZERS)
        _choose("schedule", self.schedule, RATE_SCHEDULES)
        if not 0 <= self.momentum < 1:
            raise InputError("momentum must be at least 0 and below 1")
        if self.weight_decay < 0:
            raise InputError("weight_decay must not be negative")


@dataclass(frozen=True)
class StageRecipe:
    """Epochs (a fraction is allowed), the highest learning rate, and its linear warm-up."""

    epochs: float
    learning_rate: float
    warmup_epochs: float = 0.0

    def __post_init__(self) -> None:
        _check_rates(self.epochs, self.learning_rate)
        if not 0 <= self.warmup_epochs <= self.epochs:
            raise InputError("warmup_epochs must be between 0 and epochs")


@dataclass(frozen=True)
class FineTuneRecipe(StageRecipe):
    """BiTAT's last, joint stage: batch normalisation (alpha and thresholds with it), the 8-bit
    stem and classifier; where ``signs`` is true also the committed signs, straight-through.
    """

    signs: bool = False


@dataclass(frozen=True)
class ProgressiveRecipe:
    """BiTAT's layer-by-layer stage; epochs are for each layer that is depthwise, or is not."""

    depthwise_epochs: float
    pointwise_epochs: float
    learning_rate: float

    def __post_init__(self) -> None:
        _check_rates(self.depthwise_epochs, self.learning_rate, "depthwise_epochs")
        _check_rates(self.pointwise_epochs, self.learning_rate, "pointwise_epochs")


@dataclass(frozen=True)
class DistillationRecipe:
    """``weight`` of the soft cross-entropy to a teacher's answers, at ``temperature``.

    ``teacher`` is the path of a checkpoint; None is the run's own full-precision twin.
    """

    weight: float = 0.0
    temperature: float = 2.0
    teacher: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise InputError("weight must be between 0 and 1")
        if self.temperature <= 0:
            raise InputError("temperature must be positive")
        if self.teacher is not None and self.weight == 0:
            raise InputError("teacher is given but weight is 0")


def _choose(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} must be one of {_listed(allowed)}, not '{value}'")


def _listed(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values))


def _check_rates(epochs: float, learning_rate: float, name: str = "epochs") -> None:
    if not (math.isfinite(epochs) and epochs >= 0):
        raise InputError(f"{name} must not be negative")
    if not 0 < learning_rate <= 1:
        raise InputError("learning_rate must be above 0, at most 1")
