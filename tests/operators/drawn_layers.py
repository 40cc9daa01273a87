"""Layers with drawn windows, weights and constants, the operators that a build takes, and inputs.

Operators are tried at all shapes below that they are taken for: a new one needs no list of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network import (
    IMAGE,
    IMAGE_WEIGHT_BITS,
    AddBytes,
    AverageBytes,
    AveragePoolStream,
    Bytes,
    Codes,
    Convolution,
    Counts,
    Format,
    GlobalSum,
    Image,
    MapBytes,
    MaxPool,
    OutputStage,
    Quantize,
    QuantizedDense,
    QuantizeFloat,
    QuantizeStream,
    Rescale,
    Stream,
    Sums,
    output_format,
    pack_codes,
)
from bitat_deploy.operators import Operator, operator_for
from bitat_deploy.target import Target
from tests.drawn_networks import Draw

SIGNED, UNSIGNED = True, False
TOP, ZERO = True, False  # what the border holds
SUMS = "sums"
INT32 = np.iinfo(np.int32)

# Convolutions of codes: height, width, groups, channels and outputs of a group; kernel, or its
# height and width, stride, padding, its level, dilation; bits of weights and codes, whether these
# are signed; output: bits of codes, SUMS, or how often the shortcut's channels are repeated (0: no
# shortcut) and RPReLU. 31 words of 8 bits, and of 32 bits, are where sums of bits widen.
ONE, KEEP, HALVE = (1, 1, 0, ZERO, 1), (3, 1, 1, TOP, 1), (3, 2, 1, TOP, 1)
CONVOLUTIONS: list[Any] = [
    ((1, 1, 1, 1, 1), ONE, (1, 1, SIGNED), 1),
    ((3, 5, 1, 3, 7), ONE, (1, 1, UNSIGNED), 1),
    ((2, 2, 1, 9, 17), ONE, (1, 1, SIGNED), 1),
    ((1, 3, 1, 33, 65), ONE, (1, 1, UNSIGNED), 1),
    ((3, 3, 1, 65, 130), ONE, (1, 1, SIGNED), 1),
    ((2, 3, 1, 130, 33), ONE, (1, 1, SIGNED), 1),
    ((5, 1, 1, 248, 64), ONE, (1, 1, SIGNED), 1),
    ((2, 2, 1, 249, 16), ONE, (1, 1, SIGNED), 1),
    ((1, 5, 1, 512, 100), ONE, (1, 1, UNSIGNED), 1),
    ((1, 1, 1, 1025, 24), ONE, (1, 1, SIGNED), 1),
    ((1, 1, 1, 1, 1), ONE, (1, 1, UNSIGNED), SUMS),
    ((3, 5, 1, 9, 17), ONE, (1, 1, SIGNED), (1, True)),
    ((2, 3, 1, 300, 40), ONE, (1, 1, SIGNED), (0, False)),
    ((4, 4, 1, 64, 66), ONE, (4, 4, UNSIGNED), 4),
    ((5, 5, 4, 16, 8), (1, 2, 0, ZERO, 1), (1, 3, SIGNED), 3),
    ((3, 3, 1, 3, 130), (1, 1, 1, ZERO, 1), (1, 1, SIGNED), 1),
    ((5, 4, 1, 40, 33), (3, 1, 1, ZERO, 1), (1, 1, SIGNED), 1),
    ((5, 4, 1, 44, 33), HALVE, (1, 1, SIGNED), 2),
    ((6, 7, 1, 20, 48), (3, 1, 2, ZERO, 2), (2, 2, UNSIGNED), 2),
    ((5, 5, 1, 70, 20), (3, 2, 1, ZERO, 1), (4, 4, SIGNED), (2, False)),
    ((4, 4, 1, 260, 24), (3, 1, 1, ZERO, 1), (2, 1, UNSIGNED), 1),
    ((7, 6, 1, 12, 10), (5, 1, 2, TOP, 1), (1, 2, SIGNED), (0, True)),
    ((4, 6, 2, 5, 9), (3, 1, 1, ZERO, 1), (2, 2, UNSIGNED), 2),
    ((4, 6, 3, 8, 16), (3, 1, 1, ZERO, 1), (3, 2, SIGNED), SUMS),
    ((4, 4, 6, 1, 1), (3, 1, 1, ZERO, 1), (2, 2, SIGNED), 2),
    ((5, 4, 1, 8, 9), (7, 2, 3, TOP, 1), (1, 2, SIGNED), 1),
    ((1, 2, 1, 1100, 9), ONE, (2, 3, UNSIGNED), 2),
    ((1, 40, 1, 70, 33), ((1, 9), 1, 4, ZERO, 1), (1, 1, SIGNED), 1),
    ((4, 9, 1, 20, 17), ((1, 5), 2, 2, TOP, 1), (1, 2, SIGNED), SUMS),
    ((5, 9, 1, 12, 9), ((1, 3), 1, 2, ZERO, 2), (2, 2, UNSIGNED), 2),
    ((9, 4, 1, 33, 9), ((5, 1), 1, 2, ZERO, 1), (2, 1, SIGNED), (0, True)),
    ((9, 4, 3, 8, 5), ((3, 1), 2, 2, ZERO, 2), (1, 1, SIGNED), 1),
    ((3, 9, 6, 1, 1), ((1, 3), 1, 1, TOP, 1), (1, 1, SIGNED), 1),
]
# Depthwise ones: height, width, channels; the rest as above.
DEPTHWISE: list[Any] = [
    ((1, 1, 1), KEEP, (1, 1, SIGNED), 1),
    ((3, 5, 3), HALVE, (1, 1, UNSIGNED), 1),
    ((5, 4, 17), KEEP, (1, 1, SIGNED), 1),
    ((7, 7, 33), (5, 2, 2, TOP, 1), (1, 1, SIGNED), 1),
    ((4, 6, 65), (3, 1, 0, ZERO, 1), (1, 1, UNSIGNED), 1),
    ((6, 5, 130), HALVE, (1, 1, SIGNED), 1),
    ((4, 4, 512), KEEP, (1, 1, SIGNED), 1),
    ((3, 2, 9), ONE, (1, 1, SIGNED), 1),
    ((8, 8, 24), (5, 1, 2, TOP, 1), (1, 1, SIGNED), 1),
    ((5, 7, 17), (3, 2, 1, ZERO, 1), (1, 1, SIGNED), 1),
    ((6, 7, 130), (3, 2, 1, ZERO, 1), (1, 1, SIGNED), (1, True)),
    ((6, 7, 130), (3, 1, 2, TOP, 2), (1, 1, UNSIGNED), (2, False)),
    ((6, 7, 40), (3, 1, 2, ZERO, 2), (2, 2, UNSIGNED), 2),
    ((6, 7, 40), (3, 3, 1, ZERO, 1), (1, 2, SIGNED), 4),
    ((5, 5, 512), KEEP, (2, 2, SIGNED), 3),
    ((5, 6, 33), (5, 2, 2, ZERO, 1), (3, 2, SIGNED), SUMS),
    ((5, 6, 70), (3, 1, 1, ZERO, 1), (4, 4, SIGNED), 4),
    ((5, 6, 70), (3, 1, 1, ZERO, 1), (4, 4, UNSIGNED), (0, True)),
]
# Convolutions of the picture: without the border's level and bits.
PICTURE: list[Any] = [
    ((1, 1, 1, 1, 1), (1, 1, 0, 1), 1),
    ((1, 1, 1, 3, 7), (3, 1, 1, 1), 2),
    ((7, 5, 1, 3, 33), (3, 2, 1, 1), (0, True)),
    ((6, 7, 1, 4, 17), (5, 2, 2, 1), SUMS),
    ((5, 5, 1, 9, 65), (3, 1, 0, 1), 1),
    ((3, 4, 1, 65, 9), (3, 1, 1, 1), 3),
    ((7, 8, 3, 1, 5), (3, 1, 2, 2), 4),
    ((9, 9, 2, 4, 16), (3, 2, 1, 1), (2, False)),
    ((5, 6, 33, 1, 1), (3, 2, 1, 1), SUMS),
    ((1, 30, 1, 5, 17), ((1, 9), 2, 4, 1), SUMS),
    ((9, 3, 1, 3, 9), ((3, 1), 1, 2, 2), 1),
]
# Convolutions of 8-bit weights: as CONVOLUTIONS, but with the bits of codes alone, of which 8 are
# bytes; output also the type of bytes, or "stream" for a clipped one.
EIGHT_BITS: list[Any] = [
    ((1, 1, 1, 1, 1), ONE, (8, UNSIGNED), "uint8"),
    ((3, 5, 1, 9, 17), ONE, (8, SIGNED), "int8"),
    ((2, 3, 1, 130, 65), ONE, (8, UNSIGNED), "uint8"),
    ((3, 3, 1, 33, 24), (1, 2, 0, ZERO, 1), (8, SIGNED), "stream"),
    ((5, 4, 1, 20, 9), (3, 2, 1, ZERO, 1), (8, UNSIGNED), "uint8"),
    ((6, 7, 1, 40, 12), (3, 1, 2, ZERO, 2), (8, SIGNED), 1),
    ((4, 4, 3, 5, 9), (3, 1, 1, ZERO, 1), (8, UNSIGNED), SUMS),
    ((4, 5, 2, 16, 8), (5, 1, 2, ZERO, 1), (8, SIGNED), (2, True)),
    ((4, 5, 1, 70, 40), (3, 1, 1, ZERO, 1), (1, SIGNED), "uint8"),
    ((4, 5, 2, 13, 8), (3, 1, 1, TOP, 1), (4, SIGNED), "int8"),
    ((3, 3, 1, 300, 16), ONE, (2, UNSIGNED), 4),
    ((1, 1, 1, 1, 1), ONE, (8, SIGNED), SUMS),
    ((3, 5, 3, 1, 1), (3, 1, 1, ZERO, 1), (8, UNSIGNED), "uint8"),
    ((6, 5, 130, 1, 1), (3, 2, 1, ZERO, 1), (8, SIGNED), "int8"),
    ((7, 7, 33, 1, 1), (5, 2, 2, ZERO, 2), (8, UNSIGNED), 3),
    ((5, 6, 40, 1, 1), (3, 1, 1, ZERO, 1), (1, SIGNED), 1),
    ((5, 6, 130, 1, 1), (3, 1, 1, TOP, 1), (1, SIGNED), "stream"),
    ((4, 4, 70, 1, 1), (3, 2, 1, ZERO, 1), (4, UNSIGNED), (1, False)),
]
# Convolutions of the bytes of int8 files, to such bytes: height, width, groups, channels and
# outputs of a group; kernel, stride, padding, its level, dilation; zero and lowest byte of the
# output.
FILE_BYTES: list[Any] = [
    ((1, 1, 1, 1, 1), (1, 1, 0, 0, 1), (0, 0)),
    ((3, 5, 1, 9, 17), (1, 1, 0, 0, 1), (131, 0)),
    ((5, 4, 1, 20, 70), (3, 1, 1, 7, 1), (5, 5)),
    ((7, 5, 1, 3, 33), (3, 2, 1, 114, 1), (255, 0)),
    ((4, 4, 3, 5, 9), (3, 1, 1, 200, 1), (128, 128)),
    ((6, 5, 130, 1, 1), (3, 2, 1, 0, 1), (0, 0)),
    ((7, 7, 33, 1, 1), (5, 1, 2, 255, 2), (3, 0)),
]
# height, width, channels; offset; or tables
ADD_BYTES = [(1, 1, 1, 0), (3, 5, 9, 128), (2, 7, 70, 0)]
MAP_BYTES = [(1, 1, 1, 1), (3, 5, 3, 3), (2, 7, 70, 1), (2, 3, 33, 33)]
AVERAGE_BYTES = [(1, 1, 1), (3, 4, 9), (7, 7, 70)]
# height, width, channels, type of the bytes that a stream becomes
STREAM_BYTES = [(1, 1, 1, "uint8"), (3, 4, 33, "int8"), (2, 5, 130, "uint8")]
# height, width, channels, bits
CODE_SUM = [(1, 1, 1, 1), (3, 4, 3, 1), (7, 7, 130, 1), (16, 9, 17, 1)]
CODE_SUM += [(1, 1, 1, 2), (7, 9, 130, 4), (16, 9, 33, 3)]
# channels, classes
DENSE = [(1, 1), (3, 7), (65, 33), (130, 10), (49, 150)]
COUNT_LIMITS = (49, 127, 128, 10**5)
# height, width, channels, bits, whether all thresholds are within int16
QUANTIZE = [
    (1, 1, 1, 1, False),
    (3, 4, 3, 2, True),
    (2, 2, 65, 1, True),
    (2, 3, 130, 4, False),
    (1, 5, 81, 1, False),
    (3, 2, 75, 3, True),
]
# height, width, channels, shift of the global sum
STREAM_POOLING = [(1, 1, 1, 0), (3, 4, 3, 1), (4, 7, 33, 7), (5, 6, 130, 4)]
# height, width, channels, bits, kernel, stride, padding
MAX_POOL = [
    (1, 1, 1, 1, 1, 1, 0),
    (7, 5, 130, 1, 3, 2, 1),
    (7, 5, 30, 2, 3, 2, 1),
    (9, 8, 600, 4, 3, 1, 2),
    (4, 6, 33, 3, 5, 3, 4),
    (4, 4, 8, 4, 2, 2, 0),
]
# bits, channels, channels read, height, width: copies of channels, rows that are no whole vectors
QUANTIZE_FLOAT = [(1, 16, 16, 4, 4), (1, 3, 3, 1, 1), (2, 40, 20, 5, 7), (3, 9, 12, 3, 6)]
QUANTIZE_FLOAT += [(4, 17, 17, 2, 9)]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A layer, and the formats of what it reads and writes."""

    layer: Any
    formats: Mapping[str, Format]

    @staticmethod
    def of(layer: Any, source: Format, shortcut: int = 0) -> "Drawn":
        """``layer`` on ``source``, with a shortcut of so many channels."""
        formats = {layer.input: source}
        if shortcut:
            height, width, _ = output_format(replace(layer, output=Sums()), formats).shape
            formats["shortcut"] = Stream((height, width, shortcut))
        return Drawn(layer, formats | {layer.name: output_format(layer, formats)})

    def operator(self, target: Target, schedule: Any = None) -> Any:
        """The operator that a build takes."""
        return operator_for(self.layer, self.formats, target, schedule)


def drawn_layers(seed: int) -> list[Drawn]:
    """Layers at all shapes above."""
    draw = Draw(seed)
    random = draw.random
    layers = [convolution(draw, shape) for shape in CONVOLUTIONS]
    layers += [depthwise(draw, shape) for shape in DEPTHWISE]
    layers += [picture(draw, shape) for shape in PICTURE]
    layers += [eight_bits(draw, shape) for shape in EIGHT_BITS]
    layers += [file_bytes(draw, *shape) for shape in FILE_BYTES]
    layers += [add_bytes(random, *shape) for shape in ADD_BYTES]
    for height, width, channels, tables in MAP_BYTES:
        table = random.integers(0, 256, (tables, 256), dtype=np.uint8)
        layers.append(of_bytes(MapBytes("map", "bytes", table), height, width, channels))
    for height, width, channels in AVERAGE_BYTES:
        stage = rescale(random, channels, 255 * height * width, 17, 17)
        layer = AverageBytes("average", "bytes", stage)
        layers.append(of_bytes(layer, height, width, channels, pixels=(1, 1)))
    for height, width, channels, dtype in STREAM_BYTES:
        requantize = draw.clipped(channels, 9000, dtype)
        layer = QuantizeStream("quantize", "stream", requantize)
        layers.append(Drawn.of(layer, Stream((height, width, channels))))
    for height, width, channels, bits in CODE_SUM:
        codes = Codes((height, width, channels), bits, UNSIGNED)
        layers.append(Drawn.of(GlobalSum("sum", "codes"), codes))
    for channels, classes in DENSE:
        weight = random.integers(-128, 128, (classes, channels)).astype(np.int8)
        bias = random.integers(-(10**6), 10**6, classes).astype(np.int32)
        dense = QuantizedDense("dense", "counts", weight, bias, np.float32(0.0123))
        layers += [Drawn.of(dense, Counts((channels,), limit)) for limit in COUNT_LIMITS]
    for height, width, channels, bits, small in QUANTIZE:
        stage = Quantize(thresholds(random, (2**bits - 1, channels), 200), SIGNED)
        largest = np.iinfo(np.int16).max if small else INT32.max
        stage.thresholds[0, 0] = INT32.min if small else INT32.max
        stage = replace(stage, thresholds=np.minimum(stage.thresholds, largest))
        source = Stream((height, width, channels))
        layers.append(Drawn.of(QuantizeStream("quantize", "stream", stage), source))
    for height, width, channels, shift in STREAM_POOLING:
        source = Stream((height, width, channels))
        layers.append(Drawn.of(AveragePoolStream("average", "stream"), source))
        layers.append(Drawn.of(GlobalSum("sum", "stream", shift), source))
        signed = bool(shift % 2)
        layers.append(Drawn.of(GlobalSum("sum", "bytes", shift), Bytes(source.shape, signed)))
    for height, width, channels, bits, *window in MAX_POOL:
        codes = Codes((height, width, channels), bits, SIGNED)
        layers.append(Drawn.of(MaxPool("maximum", "codes", *window), codes))
        layer = MaxPool("maximum", "bytes", *window)
        layers.append(Drawn.of(layer, Bytes(codes.shape, signed=bool(bits % 2))))
    return layers + [quantize_float(random, *shape) for shape in QUANTIZE_FLOAT]


def drawn_operators(target: Target, seed: int) -> list[Any]:
    """Those that a build takes for all drawn layers."""
    return [drawn.operator(target) for drawn in drawn_layers(seed)]


def convolution(draw: Draw, shape: Any) -> Drawn:
    """Of codes, as CONVOLUTIONS has them."""
    size, (kernel, stride, padding, with_top, dilation), bits, wanted = shape
    height, width, groups, channels, out = size
    weight_bits, code_bits, signed = bits
    codes = Codes((height, width, groups * channels), code_bits, signed)
    kernels = (kernel, kernel) if isinstance(kernel, int) else kernel
    largest = kernels[0] * kernels[1] * channels * (2**weight_bits - 1) * codes.top
    output, shortcut = _stage(draw, groups * out, wanted, largest, 2 * largest**0.5)
    layer = Convolution(
        name="convolution",
        input="codes",
        weight=draw.levels((groups * out, *kernels, channels), weight_bits),
        weight_bits=weight_bits,
        output=output,
        stride=stride,
        padding=padding,
        padding_level=codes.top if with_top else 0,
        dilation=dilation,
        groups=groups,
    )
    return Drawn.of(layer, codes, shortcut)


def depthwise(draw: Draw, shape: Any) -> Drawn:
    """Of codes, as DEPTHWISE has them."""
    (height, width, channels), *rest = shape
    return convolution(draw, ((height, width, channels, 1, 1), *rest))


def pointwise(
    random: np.random.Generator,
    height: int,
    width: int,
    channels: int,
    out: int,
    reach: int | None = None,
) -> Drawn:
    """A binary 1x1 convolution: some filters are all +1, thresholds within ``reach`` or edges."""
    reach = reach or min(channels, 3 + round(2 * channels**0.5))
    weight = random.choice(np.array([-1, 1], np.int8), (out, 1, 1, channels))
    weight[: out // 3] = 1
    stage = Quantize(thresholds(random, (1, out), reach), SIGNED)
    layer = Convolution("pointwise", "codes", weight, 1, stage)
    return Drawn.of(layer, Codes((height, width, channels), 1, SIGNED))


def picture(draw: Draw, shape: Any) -> Drawn:
    """One of PICTURE."""
    (height, width, groups, channels, out), window, wanted = shape
    kernel, stride, padding, dilation = window
    kernels = (kernel, kernel) if isinstance(kernel, int) else kernel
    size = (groups * out, *kernels, channels)
    # Products of -128 and -128 are too large for int16 sums of two; others are not.
    weight = draw.random.integers(-127 - width % 2, 128, size).astype(np.int8)
    largest = 255 * int(np.abs(weight.astype(int)).sum(axis=(1, 2, 3)).max())
    output, shortcut = _stage(draw, groups * out, wanted, largest, largest / 4)
    layer = Convolution(
        name="convolution",
        input=IMAGE,
        weight=weight,
        weight_bits=IMAGE_WEIGHT_BITS,
        output=output,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return Drawn.of(layer, Image((height, width, groups * channels)), shortcut)


def eight_bits(draw: Draw, shape: Any) -> Drawn:
    """One of EIGHT_BITS."""
    size, (kernel, stride, padding, with_top, dilation), (bits, signed), wanted = shape
    height, width, groups, channels, out = size
    space = (height, width, groups * channels)
    source = Bytes(space, signed) if bits == 8 else Codes(space, bits, signed)
    weight = draw.random.integers(-127 - width % 2, 128, (groups * out, kernel, kernel, channels))
    spread = 127 * source.top * (kernel**2 * channels) ** 0.5 / 3
    shortcut = 0
    if wanted in ("uint8", "int8", "stream"):
        dtype = "int16" if wanted == "stream" else wanted
        shortcut = groups * out if wanted == "stream" else 0
        name = "shortcut" if shortcut else None
        output: OutputStage = draw.clipped(groups * out, spread, dtype, name)
    else:
        largest = 255 * int(np.abs(weight).sum(axis=(1, 2, 3)).max())
        output, shortcut = _stage(draw, groups * out, wanted, largest, spread)
    layer = Convolution(
        name="convolution",
        input="codes",
        weight=weight.astype(np.int8),
        weight_bits=IMAGE_WEIGHT_BITS,
        output=output,
        stride=stride,
        padding=padding,
        padding_level=source.top if with_top else 0,
        dilation=dilation,
        groups=groups,
    )
    return Drawn.of(layer, source, shortcut)


def rescale(
    random: np.random.Generator, channels: int, spread: float, zero: int, low: int
) -> Rescale:
    """Multipliers of which some give halves, and most no saturation."""
    multiplier = random.uniform(0, 300 / spread, channels)
    multiplier[: channels // 4] = 0.5
    multiplier[channels // 4 : channels // 3] = 1e-40
    bias = random.integers(-int(spread), int(spread) + 1, channels)
    return Rescale(bias.astype(np.int32), multiplier.astype(np.float32), zero, low)


def file_bytes(draw: Draw, size: Any, window: Any, output: tuple[int, int]) -> Drawn:
    """One of FILE_BYTES."""
    height, width, groups, channels, out = size
    kernel, stride, padding, level, dilation = window
    shape = (groups * out, kernel, kernel, channels)
    spread = 127 * 255 * (kernel**2 * channels) ** 0.5 / 3
    layer = Convolution(
        name="convolution",
        input="bytes",
        weight=draw.random.integers(-128, 128, shape).astype(np.int8),
        weight_bits=IMAGE_WEIGHT_BITS,
        output=rescale(draw.random, groups * out, spread, *output),
        stride=stride,
        padding=padding,
        padding_level=level,
        dilation=dilation,
        groups=groups,
    )
    return Drawn.of(layer, Image((height, width, groups * channels)))


def add_bytes(
    random: np.random.Generator, height: int, width: int, channels: int, offset: int
) -> Drawn:
    """One of ADD_BYTES."""
    ratios = random.uniform(0.1, 1.5, 2).astype(np.float32)
    fixed = np.float32(random.uniform(-200, 200) - (128 if offset else 0))
    layer = AddBytes("add", "bytes", "other", *ratios, fixed, offset)
    drawn = of_bytes(layer, height, width, channels)
    return replace(drawn, formats=drawn.formats | {"other": drawn.formats["bytes"]})


def of_bytes(
    layer: Any, height: int, width: int, channels: int, pixels: tuple[int, int] | None = None
) -> Drawn:
    """A layer of bytes, which gives as many ``pixels`` unless they are told."""
    formats = {"bytes": Image((height, width, channels))}
    return Drawn(layer, formats | {layer.name: Image((*(pixels or (height, width)), channels))})


def quantize_float(
    random: np.random.Generator, bits: int, channels: int, read: int, height: int, width: int
) -> Drawn:
    """One of QUANTIZE_FLOAT, of which some thresholds are always or never reached."""
    drawn = np.sort(random.normal(0, 1, (2**bits - 1, channels)), axis=0)
    drawn[:, 0] = np.inf
    drawn[0, 1] = -np.inf
    layer = QuantizeFloat(
        name="quantize",
        input="floats",
        input_shape=(read, height, width),
        channel=random.integers(0, read, channels, dtype=np.int32),
        sign=random.choice(np.array([-1, 1], np.float32), channels),
        thresholds=drawn.astype(np.float32),
        signed=SIGNED,
    )
    return Drawn(layer, {})


def thresholds(
    random: np.random.Generator, shape: tuple[int, int], reach: int
) -> NDArray[np.int32]:
    """Within and just beyond ``reach``; among them the extremes of int32."""
    drawn = random.integers(-reach - 1, reach + 2, shape).astype(np.int32)
    extremes = [INT32.min, INT32.max, INT32.min + 1, INT32.max - 1]
    drawn[:, : shape[1] // 4] = np.resize(extremes, shape[1] // 4)
    return drawn


def _stage(
    draw: Draw, channels: int, wanted: Any, largest: int, spread: float
) -> tuple[OutputStage, int]:
    """An output stage, and its shortcut's channels."""
    if wanted == SUMS:
        return Sums(), 0
    if isinstance(wanted, int):
        stage = draw.quantize(channels, wanted, SIGNED, spread)
        edges = stage.thresholds.copy()
        edges[0, : channels // 4] = INT32.min
        edges[-1, channels // 8 : channels // 3] = INT32.max
        return replace(stage, thresholds=edges), 0
    repeats, activation = wanted
    shortcut = channels // repeats if repeats else 0
    return draw.requantize(channels, largest, "shortcut" if repeats else None, activation), shortcut


def drawn_inputs(operator: Operator, random: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """Inputs that the operator can meet."""
    layer = operator.layer
    if isinstance(layer, QuantizeFloat):
        x = random.normal(0, 1, (1, *layer.input_shape)).astype(np.float32)
        x[0, layer.channel[-1], 0, 0] = layer.sign[-1] * layer.thresholds[0, -1]  # a tie
        return (x,)
    return tuple(_drawn(operator.formats[name], random) for name in operator.reads)


def _drawn(form: Format, random: np.random.Generator) -> NDArray[Any]:
    shape = (1, *form.shape)
    if isinstance(form, Codes):
        return pack_codes(random.integers(0, form.top + 1, shape), form.bits)
    if isinstance(form, Bytes):
        return random.integers(form.bottom, form.top + 1, shape).astype(form.dtype)
    if isinstance(form, Image):
        return random.integers(0, 256, shape, dtype=np.uint8)
    if isinstance(form, Stream):
        reach = random.choice([300, 2**15], shape)  # near the thresholds, and all there is
        return random.integers(-reach, reach).astype(np.int16)
    assert isinstance(form, Counts)
    counts = random.integers(-form.limit, form.limit + 1, shape)
    counts[:, random.integers(0, 2, form.shape[0]) == 1] = -form.limit
    return counts.astype(np.int32)
