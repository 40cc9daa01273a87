"""The sections of a recipe: each checks itself, naming its keys; defaults keep recipes short."""

import fnmatch
import math
from dataclasses import dataclass, field

from bitat_deploy.datasets import HeldOut, check_pattern
from bitat_deploy.errors import InputError
from bitat_deploy.training.registry import ARCHITECTURES, QUANTIZERS

OPTIMIZERS = ("adam", "adamw", "sgd")
WEIGHT_BITS = (1, 2, 3, 4, 8)
RATE_SCHEDULES = ("cosine", "linear")


@dataclass(frozen=True)
class NetworkRecipe:
    """Which network, in numbers of channels that ``width`` multiplies.

    architecture: the family of networks, which says what each of ``blocks`` holds.
    block: the kind of block: "chain" is packed codes all the way, the others carry real values past
        their layers by shortcuts.
    width: factor of all numbers of channels, rounded down.
    stem_channels: of the first convolution, times ``width``.
    stem_stride: of the first convolution, 1 or 2.
    blocks: a list for each block: of mobilenet-v1 channels and stride; of mobilenet-v2 expansion,
        channels, repeats and stride.
    normalized_stream: a batch normalisation is in front of each quantizer that reads a stream,
        unless learned thresholds are there; on the device it is in the thresholds.
    """

    architecture: str
    block: str
    width: float
    stem_channels: int
    stem_stride: int
    blocks: tuple[tuple[int, ...], ...]
    normalized_stream: bool = True

    def __post_init__(self) -> None:
        architecture = ARCHITECTURES[self.architecture]
        kinds = (*architecture.chains, *architecture.streams)
        _choose(f"block of {self.architecture}", self.block, kinds)
        entries = architecture.entries
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
        if any(self.scaled(n) < 1 for n in (self.stem_channels, *columns["channels"])):
            raise InputError("width leaves a layer without a channel: raise it")

    def scaled(self, channels: int) -> int:
        """Channels at this width, rounded down."""
        return int(channels * self.width)


@dataclass(frozen=True)
class QuantizationRecipe:
    """How weights and activations are quantized.

    quantizer: "sign" for 1 bit, "uniq" for learned steps of 1 to 8 bits.
    weight_bits: bits of the weights.
    activation_bits: bits of the activations.
    per_channel: of "uniq", each filter has a step of its own.
    signed_bottleneck: of "uniq", what linear bottlenecks give keeps its sign.
    depthwise: depthwise layers are quantized like the others, not with 8 bits.
    layer_bits: bits of the weights of single layers by patterns of their names, such as
        {"*.depthwise": 8, "block?.*": 2}; the first that fits counts.
    nonlinearity: the full-precision twin's, "relu" or "hard-tanh", where activations will be
        quantized; null takes the quantizer's usual one.
    """

    quantizer: str = "sign"
    weight_bits: int = 1
    activation_bits: int = 1
    per_channel: bool = False
    signed_bottleneck: bool = False
    depthwise: bool = True
    layer_bits: dict[str, int] = field(default_factory=dict)
    nonlinearity: str | None = None

    def __post_init__(self) -> None:
        quantizer, bits = QUANTIZERS[self.quantizer], {self.weight_bits, self.activation_bits}
        if not bits <= set(quantizer.bits):
            able = [f"'{name}'" for name in QUANTIZERS if bits <= set(QUANTIZERS[name].bits)]
            raise InputError(
                f"quantizer '{self.quantizer}' has bits {_listed(quantizer.bits)}, not weight_bits "
                f"{self.weight_bits} and activation_bits {self.activation_bits}"
                + (f"; take quantizer {' or '.join(able)}" if able else "")
            )
        if not quantizer.steps and (self.per_channel or self.signed_bottleneck):
            raise InputError(
                "per_channel and signed_bottleneck are for quantizers with steps, not "
                f"'{self.quantizer}'"
            )
        for pattern, wanted in self.layer_bits.items():
            if wanted not in WEIGHT_BITS:
                raise InputError(
                    f"layer_bits of '{pattern}' must be one of {_listed(WEIGHT_BITS)}, not {wanted}"
                )
        if self.nonlinearity is not None:
            _choose(
                f"nonlinearity of quantizer '{self.quantizer}'",
                self.nonlinearity,
                quantizer.nonlinearities,
            )

    def bits_of(self, name: str, depthwise: bool) -> int:
        """The bits of a layer's weights."""
        for pattern, bits in self.layer_bits.items():
            if fnmatch.fnmatchcase(name, pattern):
                return bits
        return 8 if depthwise and not self.depthwise else self.weight_bits


@dataclass(frozen=True)
class ColorJitter:
    """How far an image's colours vary: by factors from 1 - j to 1 + j.

    brightness: j of the pixels; 0 is off.
    contrast: j of the differences from the mean grey; 0 is off.
    saturation: j of the differences from each pixel's grey; 0 is off.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            _check_share(name, getattr(self, name))


@dataclass(frozen=True)
class DataRecipe:
    """Images used, and how those for training are varied.

    train_images: at most so many of the data set's; null takes all.
    validation_images: held out of the training images, to watch progress by.
    test_images: at most so many; null takes all, with 0 none is looked at.
    test_share: share of each class of an image folder that is for testing, and never seen in
        training, where the folder has no test images; null demands that it has some.
    group: a regular expression for file names: images of a class in which it (its first
        parentheses) finds the same text, such as the frames of one sign, are for training, for
        validation or for testing together.
    batch_size: of all processes together.
    calibration_images: so many, from the start of the training images, serve BiTAT's statistics
        and the quantizers' first steps.
    image_size: side in pixels to which images of GTSRB (null: 32) and of image folders are resized.
    crop: side of the square that the network sees, at a random place in training, else the middle;
        null is the whole image.
    flip: half of the images, left to right; wrong for signs and letters.
    shift: up to so many pixels beyond the border, in each direction, filled with 0.
    random_resized_crop: in place of shifts, a part of the image of this share of its area, least
        and most, and of proportions from 3:4 to 4:3, is resized to the crop; null is off.
    color_jitter: how far colours vary.
    random_erasing: share of the images in which a rectangle is set to 0.
    mixup: alpha of the Beta distribution from which the shares of two images and their labels are
        drawn; 0 is off.
    """

    train_images: int | None = None
    validation_images: int = 2000
    test_images: int | None = None
    test_share: float | None = None
    group: str | None = None
    batch_size: int = 64
    calibration_images: int = 2000
    image_size: int | None = None
    crop: int | None = None
    flip: bool = True
    shift: int = 2
    random_resized_crop: tuple[float, float] | None = None
    color_jitter: ColorJitter = field(default_factory=ColorJitter)
    random_erasing: float = 0.0
    mixup: float = 0.0

    @property
    def held_out(self) -> HeldOut | None:
        """How an image folder without test images is split; None where it must have some."""
        return None if self.test_share is None else HeldOut(self.test_share, self.group)

    def __post_init__(self) -> None:
        least = {"batch_size": 2, "shift": 0, "validation_images": 0, "calibration_images": 1}
        least |= {"test_images": 0, "image_size": 1, "crop": 1, "mixup": 0}
        for name, limit in least.items():
            value = getattr(self, name)
            if value is not None and value < limit:
                raise InputError(f"{name} must be at least {limit}, not {value}")
        _check_share("random_erasing", self.random_erasing)
        if self.random_resized_crop is not None:
            low, high = self.random_resized_crop
            if not 0 < low <= high <= 1:
                raise InputError("random_resized_crop must be two shares: 0 < least <= most <= 1")
        if self.group is not None:
            check_pattern("group", self.group)
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise InputError(f"test_share must be between 0 and 1, not {self.test_share}")
        needed = self.validation_images + self.batch_size
        if self.train_images is not None and self.train_images < needed:
            raise InputError(
                f"train_images must hold data.validation_images and one batch: {needed} or more"
            )


@dataclass(frozen=True)
class OptimizerRecipe:
    """How parameters follow their gradients.

    kind: "adam", "adamw" or "sgd"; "uniq" needs "sgd", as Adam cancels its gradient scales.
    momentum: of SGD.
    weight_decay: of all parameters alike.
    schedule: how the learning rate falls to 0 within a stage: "cosine" or "linear".
    label_smoothing: share of each label that is spread over all classes.
    ema: decay of a running average of the weights, which replaces them at the end of each stage; 0
        is off.
    """

    kind: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    label_smoothing: float = 0.0
    ema: float = 0.0

    def __post_init__(self) -> None:
        _choose("kind", self.kind, OPTIMIZERS)
        _choose("schedule", self.schedule, RATE_SCHEDULES)
        if not 0 <= self.momentum < 1:
            raise InputError("momentum must be at least 0 and below 1")
        if self.weight_decay < 0:
            raise InputError("weight_decay must not be negative")
        for name in ("label_smoothing", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 0 and below 1")


@dataclass(frozen=True)
class StageRecipe:
    """How long a stage takes, and how fast it learns.

    epochs: passes through the training images; a fraction is allowed.
    learning_rate: the highest one.
    warmup_epochs: it rises linearly to that for so long.
    """

    epochs: float
    learning_rate: float
    warmup_epochs: float = 0.0

    def __post_init__(self) -> None:
        check_rates(self.epochs, self.learning_rate)
        if not 0 <= self.warmup_epochs <= self.epochs:
            raise InputError("warmup_epochs must be between 0 and epochs")


@dataclass(frozen=True)
class DistillationRecipe:
    """A teacher, whose answers the network learns besides the labels.

    weight: share of the soft cross-entropy to the teacher's answers; 0 is off.
    temperature: by which both are softened.
    teacher: path of a finished run's checkpoint; null is the run's own full-precision twin.
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


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{name} must be between 0 and 1")


def _choose(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} must be one of {_listed(allowed)}, not '{value}'")


def _listed(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values))


def check_rates(epochs: float, learning_rate: float, name: str = "epochs") -> None:
    """Raise InputError for epochs (``name``) below 0, or a rate that is not in (0, 1]."""
    if not (math.isfinite(epochs) and epochs >= 0):
        raise InputError(f"{name} must not be negative")
    if not 0 < learning_rate <= 1:
        raise InputError("learning_rate must be above 0, at most 1")
