"""The networks that an exploration may try: a YAML file's shapes, widths, sizes and bits."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from bitat_deploy.errors import InputError
from bitat_deploy.plain_text import NAME_RULE, is_name
from bitat_deploy.plain_values import build_record
from bitat_deploy.yaml_file import read_yaml

FLOAT = "float"
_MOST = 2000  # candidates: a mistake in the file, not a plan
_WIDEST, _MOST_CHANNELS = 64.0, 1 << 16
_LEAST_CHANNELS = 8  # fewer would leave bits of a packed byte empty


@dataclass(frozen=True)
class Shape:
    """A network as a recipe has it, but for its width; see docs/training.md."""

    architecture: str
    block: str
    stem_channels: int
    blocks: tuple[tuple[int, ...], ...]
    stem_stride: int = 2

    def __post_init__(self) -> None:
        numbers = [self.stem_channels, self.stem_stride, *(n for b in self.blocks for n in b)]
        if not all(1 <= number <= _MOST_CHANNELS for number in numbers):
            raise InputError(f"stem and blocks must hold numbers from 1 to {_MOST_CHANNELS:,}")
        if any(len(block) != len(self._entries) for block in self.blocks):
            entries = ", ".join(self._entries)
            raise InputError(f"blocks must hold lists of numbers as a recipe has them: {entries}")

    @property
    def _entries(self) -> tuple[str, ...]:
        from bitat_deploy.training import ARCHITECTURES  # imports torch

        return ARCHITECTURES[self.architecture].entries

    def column(self, entry: str) -> tuple[int, ...]:
        """One number of each block, such as its channels."""
        return tuple(block[self._entries.index(entry)] for block in self.blocks)


@dataclass(frozen=True)
class Bits:
    """Bits of weights and activations; ``layers`` has other weights' by patterns of names."""

    weights: int
    activations: int
    layers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("weights", self.weights), ("activations", self.activations)):
            if value not in (1, 2, 3, 4, 8):
                raise InputError(f"{name} must be 1, 2, 3, 4 or 8, not {value}")

    @property
    def label(self) -> str:
        """The name of a series, such as W2A2; with other layers' bits, W2A2+8."""
        others = sorted(set(self.layers.values()))
        return f"W{self.weights}A{self.activations}" + "".join(f"+{bits}" for bits in others)


@dataclass(frozen=True)
class Training:
    """How long and how each candidate trains, the same for all: see docs/choosing.md.

    ``validation_share`` of the training images choose; ``test_share`` of all images are for the end
    where the folder has no test images.
    """

    epochs: int = 40
    batch_size: int = 32
    validation_share: float = 0.2
    test_share: float = 0.2
    flip: bool = True
    shift: int = 4
    group: str | None = None
    distillation: float = 0.5

    def __post_init__(self) -> None:
        if self.epochs < 4:
            raise InputError("epochs must be at least 4: a candidate's first run has a quarter")
        for name in ("validation_share", "test_share"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} must be between 0 and 1")


@dataclass(frozen=True)
class Space:
    """All that is combined. ``float_rows``: each shape is trained in float32, too."""

    shapes: dict[str, Shape]
    widths: tuple[float, ...]
    image_sizes: tuple[int, ...]
    bits: tuple[Bits, ...]
    float_rows: bool = True
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        for name in ("shapes", "widths", "image_sizes", "bits"):
            if not getattr(self, name):
                raise InputError(f"{name} is empty")
        for name in self.shapes:
            if not is_name(name):
                raise InputError(f"shapes: a name must be {NAME_RULE}")
        if not all(0 < width <= _WIDEST for width in self.widths):
            raise InputError(f"widths must be above 0 and at most {_WIDEST:g}")
        if not 8 <= min(self.image_sizes) <= max(self.image_sizes) <= 1024:
            raise InputError("image_sizes must be from 8 to 1024")
        labels = [bits.label for bits in self.bits]
        if len(set(labels)) < len(labels):
            raise InputError("bits: two entries have the same numbers of bits")
        if len({f"{width:g}" for width in self.widths}) < len(self.widths):
            raise InputError("widths: two are the same")
        count = math.prod(map(len, (self.shapes, self.widths, self.image_sizes, self.bits)))
        if count > _MOST:
            raise InputError(f"its {count:,} combinations are more than {_MOST:,}; leave some out")


@dataclass(frozen=True)
class Candidate:
    """One network; ``bits`` is None in float32. ``series`` is what it is drawn and judged with."""

    shape_name: str
    shape: Shape = field(repr=False)
    width: float
    image_size: int
    bits: Bits | None

    @property
    def series(self) -> str:
        """Such as "W2A2", or "float"."""
        return FLOAT if self.bits is None else self.bits.label

    @property
    def twin(self) -> str:
        """The name of the full-precision network that all of this shape begin with."""
        return f"{self.shape_name}-{self.width:g}x-{self.image_size}px"

    @property
    def name(self) -> str:
        """Of its run folders, and in tables."""
        return f"{self.twin}-{self.series.lower().replace('+', '-')}"

    @property
    def channels(self) -> Iterator[int]:
        """Output channels of the stem and of each block, at this width."""
        unscaled = (self.shape.stem_channels, *self.shape.column("channels"))
        return (int(channels * self.width) for channels in unscaled)

    @property
    def reduction(self) -> int:
        """By how much the strides together make the image's side smaller."""
        return self.shape.stem_stride * math.prod(self.shape.column("stride"))


def load_space(path: Path | None) -> Space:
    """Read a candidates file, ours where there is none.

    Raises InputError with the first unknown or missing key, or value out of range.
    """
    file = path or Path(str(resources.files("bitat_deploy.exploration"))) / "candidates.yaml"
    try:
        space: Space = build_record(Space, read_yaml(file), "candidates")
    except InputError as error:
        raise InputError(f"in the candidates file '{file}', {error}; correct it") from error
    return space


def combinations(space: Space) -> tuple[list[Candidate], dict[str, str]]:
    """All candidates that make sense, and why the others do not, by name."""
    kept, left_out = [], {}
    bits: list[Bits | None] = [*space.bits, *([None] if space.float_rows else [])]
    for size, width, (name, shape), pair in itertools.product(
        space.image_sizes, space.widths, space.shapes.items(), bits
    ):
        candidate = Candidate(name, shape, width, size, pair)
        reason = _nonsense(candidate)
        if reason:
            left_out[candidate.name] = reason
        else:
            kept.append(candidate)
    return kept, left_out


def _nonsense(candidate: Candidate) -> str:
    """Why nobody should want it; empty if there is no reason."""
    bits = candidate.bits
    if min(candidate.channels) < _LEAST_CHANNELS:
        return f"a layer has fewer than {_LEAST_CHANNELS} channels, which fill no packed byte"
    if candidate.image_size < 2 * candidate.reduction:
        return "its strides leave less than 2 x 2 positions of the image"
    if bits is None:
        return ""
    if candidate.shape.block == "reactnet" and (bits.weights, bits.activations) != (1, 1):
        return "ReActNet's block is made for signs: its thresholds and shifts are for 1 bit"
    if bits.weights > bits.activations:
        return "it has more bits in its weights than in what they multiply: slower, hardly better"
    if (bits.weights == 8) != (bits.activations == 8):
        return "8-bit layers of ours have 8 bits in weights and activations"
    return ""


def plain(candidate: Candidate) -> dict[str, Any]:
    """What a report says of it."""
    bits = candidate.bits
    return {
        "name": candidate.name,
        "shape": candidate.shape_name,
        "width": candidate.width,
        "image_size": candidate.image_size,
        "series": candidate.series,
        "weight_bits": 32 if bits is None else bits.weights,
        "activation_bits": 32 if bits is None else bits.activations,
    }
