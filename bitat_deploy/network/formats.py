"""Formats of the tensors between layers, and the rules for which layers fit together.

The checks exclude overflow: if they pass, every sum fits into int32, and every sum of codes, or of
a depthwise convolution of bytes, is an integer that float32 represents exactly, so that float32
convolutions may compute it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network.layers import (
    IMAGE,
    IMAGE_WEIGHT_BITS,
    SATURATION,
    AveragePoolStream,
    Convolution,
    GlobalSum,
    Layer,
    MaxPool,
    OutputStage,
    Quantize,
    QuantizedDense,
    QuantizeStream,
    Requantize,
    Rescale,
    RPReLU,
)

MAX_BITS = 4
_EXACT_IN_FLOAT32 = 2**24
_MAXIMUM_VALUES = 2**28  # in a layer's output; kernels' int32 indices reach four times as far
_INT32 = 2**31 - 1
_INT16 = 2**15


@dataclass(frozen=True)
class Image:
    """The input: uint8. ``shape`` is (height, width, channels), here and below."""

    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Codes:
    """Codes of ``bits`` bits, packed in bit planes (:mod:`.bits`).

    A code u means the level u, or, if ``signed``, 2 u - (2^bits - 1): signed codes of one bit are
    +1 and -1.
    """

    shape: tuple[int, int, int]
    bits: int
    signed: bool

    @property
    def top(self) -> int:
        """The highest code, which is the highest level too."""
        return 2**self.bits - 1

    @property
    def bottom(self) -> int:
        """The lowest level."""
        return -self.top if self.signed else 0


@dataclass(frozen=True)
class Bytes:
    """Levels of 8 bits, a byte for each channel: 0 to 255, or -127 to 127 where ``signed``."""

    shape: tuple[int, int, int]
    signed: bool

    @property
    def bits(self) -> int:
        """Bits of a level."""
        return 8

    @property
    def dtype(self) -> str:
        """Numpy's name of the type."""
        return "int8" if self.signed else "uint8"

    @property
    def top(self) -> int:
        """The highest level."""
        return SATURATION[self.dtype][1]

    @property
    def bottom(self) -> int:
        """The lowest level."""
        return SATURATION[self.dtype][0]


@dataclass(frozen=True)
class Stream:
    """int16 in fixed point, carried past the binary layers by shortcuts."""

    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Counts:
    """int32 of shape (height, width, channels) or (features,), from -``limit`` to ``limit``."""

    shape: tuple[int, ...]
    limit: int


@dataclass(frozen=True)
class Logits:
    """float32 of shape (classes,)."""

    shape: tuple[int]


Format = Image | Codes | Bytes | Stream | Counts | Logits


def tensor_formats(input_shape: tuple[int, int, int], layers: Sequence[Layer]) -> dict[str, Format]:
    """The formats of the input and of every layer's output, by name.

    Raises ValueError naming the first layer that contradicts itself or what it reads.
    """
    formats: dict[str, Format] = {IMAGE: Image(input_shape)}
    for layer in layers:
        try:
            _check(layer.name not in formats, "another layer has the same name")
            _check_exportable(layer, formats)
            output = output_format(layer, formats)
            _check(math.prod(output.shape) <= _MAXIMUM_VALUES, f"its output is {output.shape}")
            formats[layer.name] = output
        except ValueError as error:
            raise ValueError(f"layer '{layer.name}' is inconsistent: {error}") from error
    return formats


def output_format(layer: Layer, formats: Mapping[str, Format]) -> Format:
    """The format of a layer's output, given the ``formats`` of what it reads.

    Raises ValueError if the layer contradicts itself or what it reads.
    """
    source = _source(layer.input, formats)
    if isinstance(layer, Convolution):
        return _convolution(layer, source, formats)
    if isinstance(layer, QuantizedDense):
        return _dense(layer, source)
    if isinstance(layer, GlobalSum):
        return _global_sum(layer, source)
    if isinstance(layer, MaxPool):
        _check(isinstance(source, Codes | Bytes), "it reads neither codes nor bytes")
        _check(0 <= layer.padding < layer.kernel, "its padding is not less than its kernel")
        return replace(source, shape=_window(source.shape, layer, source.shape[2]))
    _check(isinstance(source, Stream), "it does not read a stream")
    height, width, channels = source.shape
    if isinstance(layer, QuantizeStream):
        return _quantized_stream(layer.output, (height, width, channels), formats)
    assert isinstance(layer, AveragePoolStream)
    return Stream(((height + 1) // 2, (width + 1) // 2, channels))


def _check_exportable(layer: Layer, formats: Mapping[str, Format]) -> None:
    """That a layer is not one of those that mixed networks alone have."""
    if isinstance(layer, Convolution):
        _check(not isinstance(layer.output, Rescale), "it rescales its sums in float32")
        if isinstance(formats.get(layer.input), Image):
            _check(layer.padding_level == 0, "the picture is padded with 0")


def _convolution(layer: Convolution, source: Any, formats: Mapping[str, Format]) -> Format:
    reads = isinstance(source, Image | Bytes | Codes)
    _check(reads, "it reads neither the picture, nor bytes, nor codes")
    _check(layer.weight.dtype == np.int8 and layer.weight.ndim == 4, "its weights are not int8")
    out, *kernels, channels = layer.weight.shape
    read = source.shape[2]
    _check(layer.square or 1 in kernels, "its filters are not a square, row or column")
    _check(channels * layer.groups == read, f"it reads {channels * layer.groups}, not {read}")
    _check(layer.groups > 0 and out % layer.groups == 0, "its groups do not divide its channels")
    weight = layer.weight.astype(np.int64).reshape(out, -1)
    if isinstance(source, Image | Bytes):
        bottom, top = (0, 255) if isinstance(source, Image) else (source.bottom, source.top)
        limit = _EXACT_IN_FLOAT32 if isinstance(source, Bytes) and layer.depthwise else _INT32
        what = "the picture is" if isinstance(source, Image) else "bytes are"
        on = what.rpartition(" ")[0]
        _check(layer.weight_bits == IMAGE_WEIGHT_BITS, f"on {on} its weights are 8 bits")
        level = layer.padding_level == 0 or (
            isinstance(source, Image) and 0 < layer.padding_level < 256
        )
        _check(level, f"{what} padded with 0")
    else:
        bottom, top, limit = source.bottom, source.top, _EXACT_IN_FLOAT32
        narrow = 1 <= layer.weight_bits <= MAX_BITS
        fits = narrow or layer.weight_bits == IMAGE_WEIGHT_BITS
        _check(fits, f"on codes its weights are 1 to {MAX_BITS} or {IMAGE_WEIGHT_BITS} bits")
        highest = 2**layer.weight_bits - 1
        levels = bool((weight % 2 == 1).all() and (np.abs(weight) <= highest).all())
        _check(levels or not narrow, f"its weights are not levels of {layer.weight_bits} bits")
        _check(layer.padding_level in (0, top), f"it pads with neither 0 nor {top}")
    magnitude = max(-bottom, top) * int(np.abs(weight).sum(axis=1).max())
    _check(magnitude < limit, f"its sums may reach {magnitude}")
    highest_sum = np.maximum(weight * top, weight * bottom).sum(axis=1)
    lowest_sum = np.minimum(weight * top, weight * bottom).sum(axis=1)
    sums = np.maximum(np.maximum(highest_sum, -lowest_sum), 0)
    return _stage(layer.output, sums, _window(source.shape, layer, out), formats)


def _stage(
    stage: OutputStage,
    sums: NDArray[np.int64],
    shape: tuple[int, int, int],
    formats: Mapping[str, Format],
) -> Format:
    """The format of a convolution's output; ``sums`` [out] bounds its sums' magnitude."""
    if isinstance(stage, Quantize):
        return _codes(stage, shape)
    if isinstance(stage, Rescale):
        _check_rescale(stage, sums, shape[2])
        return Image(shape)
    if not isinstance(stage, Requantize):
        return Counts(shape, int(sums.max()))
    _check_requantize(stage, sums, shape[2])
    if stage.shortcut is not None:
        shortcut = _source(stage.shortcut, formats)
        _check(isinstance(shortcut, Stream), "its shortcut is not a stream")
        height, width, channels = shortcut.shape
        fits = (height, width) == shape[:2] and shape[2] % channels == 0
        _check(fits, f"its shortcut is {shortcut.shape}, its output {shape}")
    if stage.activation is not None:
        _check(stage.dtype == "int16", "it has an activation, but writes bytes")
        _check_activation(stage.activation, shape[2])
    return Stream(shape) if stage.dtype == "int16" else Bytes(shape, stage.dtype == "int8")


def _check_rescale(stage: Rescale, sums: NDArray[np.int64], channels: int) -> None:
    _check_vector("bias", stage.bias, np.int32, channels)
    _check_vector("multiplier", stage.multiplier, np.float32, channels)
    _check(bool(np.isfinite(stage.multiplier).all()), "a multiplier is not finite")
    limits = 0 <= stage.low <= stage.high <= 255 and 0 <= stage.zero <= 255
    _check(limits, "its limits or its zero are no bytes")
    moved = int((sums + np.abs(stage.bias.astype(np.int64))).max())
    _check(moved <= _INT32, f"sum + bias may reach {moved}")


def _check_requantize(stage: Requantize, sums: NDArray[np.int64], channels: int) -> None:
    """That sums of at most ``sums`` [out] from 0 stay within int32 all the way."""
    _check(stage.dtype in SATURATION, f"it writes {stage.dtype}")
    dtype = np.int16 if stage.clip is None else np.int32
    _check_vector("multiplier", stage.multiplier, dtype, channels)
    _check_vector("bias", stage.bias, np.int32, channels)
    _check(0 <= stage.shift <= 30, "its shift is not from 0 to 30")
    multiplier, bias = (x.astype(np.int64) for x in (stage.multiplier, stage.bias))
    if stage.clip is None:
        largest = int((sums * np.abs(multiplier) + np.abs(bias)).max())
    else:
        _check_vector("offset", stage.clip.offset, np.int32, channels)
        _check_vector("reach", stage.clip.reach, np.int32, channels)
        _check(int(stage.clip.reach.min()) >= 0, "its reach is below 0")
        moved = int((sums + np.abs(stage.clip.offset.astype(np.int64))).max())
        _check(moved <= _INT32, f"sum + offset may reach {moved}")
        product = stage.clip.reach * multiplier
        ends = np.abs(np.stack([bias, product, product + bias]))
        largest = int(ends.max())
    _check(largest <= _INT32 - _INT16, f"sum * multiplier + bias may reach {largest}")


def _quantized_stream(
    stage: Quantize | Requantize, shape: tuple[int, int, int], formats: Mapping[str, Format]
) -> Format:
    if isinstance(stage, Quantize):
        return _codes(stage, shape)
    alone = stage.shortcut is None and stage.clip is not None and stage.dtype != "int16"
    _check(alone, "it needs a clip and no shortcut to make bytes of a stream")
    return _stage(stage, np.full(shape[2], _INT16, np.int64), shape, formats)


def _check_activation(activation: RPReLU, channels: int) -> None:
    for name in ("before", "slope", "after"):
        _check_vector(name, getattr(activation, name), np.int16, channels)
    _check(1 <= activation.slope_shift <= 15, "its slope's shift is not from 1 to 15")
    _check(int(activation.slope.min()) > -_INT16, "a slope is -32768")


def _codes(stage: Quantize, shape: tuple[int, int, int]) -> Codes:
    """The format of the output of ``stage`` for a tensor of ``shape``."""
    thresholds = stage.thresholds
    fits = thresholds.dtype == np.int32 and thresholds.ndim == 2
    _check(fits and thresholds.shape[1] == shape[2], f"it needs {shape[2]} int32 thresholds")
    counts = [2**bits - 1 for bits in range(1, MAX_BITS + 1)]
    _check(len(thresholds) in counts, f"it has {len(thresholds)} thresholds, not one of {counts}")
    return Codes(shape, stage.bits, stage.signed)


def _global_sum(layer: GlobalSum, source: Any) -> Counts:
    _check(
        isinstance(source, Codes | Bytes | Stream),
        "it reads neither codes, nor bytes, nor a stream",
    )
    height, width, channels = source.shape
    if isinstance(source, Codes):
        _check(layer.shift == 0, "sums of codes are not shifted")
        return Counts((channels,), height * width * source.top)
    _check(0 <= layer.shift <= 30, "its shift is not from 0 to 30")
    magnitude = max(source.top, -source.bottom) if isinstance(source, Bytes) else _INT16
    total = height * width * magnitude + rounding(layer.shift)
    _check(total <= _INT32, f"its sum may reach {total}")
    return Counts((channels,), total >> layer.shift)


def _dense(layer: QuantizedDense, source: Any) -> Logits:
    _check(isinstance(source, Counts) and len(source.shape) == 1, "it reads no vector of counts")
    _check(layer.weight.dtype == np.int8 and layer.weight.ndim == 2, "its weights are not int8")
    classes, features = layer.weight.shape
    _check(features == source.shape[0], f"it reads {features} counts, not {source.shape[0]}")
    _check_vector("bias", layer.bias, np.int32, classes)
    largest = source.limit * np.abs(layer.weight.astype(np.int64)).sum(axis=1)
    reach = int((largest + np.abs(layer.bias.astype(np.int64))).max())
    _check(reach <= _INT32, f"its sums may reach {reach}")
    return Logits((classes,))


def shape_text(shape: Iterable[int]) -> str:
    """A shape as reports and workloads write it: "14x14x256"."""
    return "x".join(map(str, shape))


def rounding(shift: int) -> int:
    """The number to add before a right shift so that it rounds to nearest."""
    return (1 << shift) >> 1


def _window(
    shape: tuple[int, int, int], layer: Convolution | MaxPool, channels: int
) -> tuple[int, int, int]:
    """Shape of the output when the layer's window moves over ``shape``."""
    dilation, kernels, paddings = 1, (layer.kernel,) * 2, (layer.padding,) * 2
    if isinstance(layer, Convolution):
        dilation, kernels, paddings = layer.dilation, layer.kernels, layer.paddings
    _check(min(*kernels, layer.stride, dilation) > 0, "its kernel, stride or dilation is 0")
    _check(layer.padding >= 0, "its padding is negative")
    height, width = (
        (size + 2 * padding - (dilation * (kernel - 1) + 1)) // layer.stride + 1
        for size, padding, kernel in zip(shape, paddings, kernels, strict=False)
    )
    _check(height > 0 and width > 0, f"its window is larger than its input {shape}")
    return height, width, channels


def _source(name: str, formats: Mapping[str, Format]) -> Any:
    _check(name in formats, f"it reads '{name}', which no earlier layer writes")
    return formats[name]


def _check_vector(name: str, vector: NDArray[Any], dtype: type, size: int) -> None:
    wanted = np.dtype(dtype)
    fits = vector.dtype == wanted and vector.shape == (size,)
    _check(fits, f"its {name} is {vector.dtype} {vector.shape}, not {wanted} ({size},)")


def _check(condition: bool, complaint: str) -> None:
    if not condition:
        raise ValueError(complaint)
