"""General convolutions with drawn windows, weights and output stages, and inputs for them."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network import (
    IMAGE,
    IMAGE_WEIGHT_BITS,
    Codes,
    Convolution,
    Image,
    OutputStage,
    Sums,
    pack_codes,
)
from bitat_deploy.operators import BitSerialConv, QuantizedConv
from bitat_deploy.operators.convolution import ConvolutionOperator
from bitat_deploy.target import Target
from tests.drawn_networks import Draw

SIGNED, UNSIGNED = True, False
TOP, ZERO = True, False  # what the border holds
SUMS = "sums"
INT32 = np.iinfo(np.int32)

# height, width, groups, channels and outputs of a group; kernel, stride, padding, its level,
# dilation; bits of weights and codes, whether these are signed; output: bits of codes, SUMS, or
# how often the shortcut's channels are repeated (0: no shortcut) and RPReLU.
BIT_SERIAL: list[Any] = [
    ((1, 1, 1, 1, 1), (1, 1, 0, ZERO, 1), (1, 1, UNSIGNED), SUMS),
    ((3, 5, 1, 9, 17), (1, 1, 0, ZERO, 1), (1, 1, SIGNED), (1, True)),
    ((2, 3, 1, 300, 40), (1, 1, 0, ZERO, 1), (1, 1, SIGNED), (0, False)),
    ((4, 4, 1, 64, 66), (1, 1, 0, ZERO, 1), (4, 4, UNSIGNED), 4),
    ((5, 5, 4, 16, 8), (1, 2, 0, ZERO, 1), (1, 3, SIGNED), 3),
    ((3, 3, 1, 3, 130), (1, 1, 1, ZERO, 1), (1, 1, SIGNED), 1),
    ((5, 4, 1, 40, 33), (3, 1, 1, ZERO, 1), (1, 1, SIGNED), 1),
    ((5, 4, 1, 44, 33), (3, 2, 1, TOP, 1), (1, 1, SIGNED), 2),
    ((6, 7, 1, 20, 48), (3, 1, 2, ZERO, 2), (2, 2, UNSIGNED), 2),
    ((5, 5, 1, 70, 20), (3, 2, 1, ZERO, 1), (4, 4, SIGNED), (2, False)),
    ((4, 4, 1, 260, 24), (3, 1, 1, ZERO, 1), (2, 1, UNSIGNED), 1),
    ((7, 6, 1, 12, 10), (5, 1, 2, TOP, 1), (1, 2, SIGNED), (0, True)),
    ((4, 6, 2, 5, 9), (3, 1, 1, ZERO, 1), (2, 2, UNSIGNED), 2),
    ((4, 6, 3, 8, 16), (3, 1, 1, ZERO, 1), (3, 2, SIGNED), SUMS),
    ((4, 4, 6, 1, 1), (3, 1, 1, ZERO, 1), (2, 2, SIGNED), 2),
    ((5, 4, 1, 8, 9), (7, 2, 3, TOP, 1), (1, 2, SIGNED), 1),
    ((1, 2, 1, 1100, 9), (1, 1, 0, ZERO, 1), (2, 3, UNSIGNED), 2),
]
# The same without the border's level and bits.
PICTURE: list[Any] = [
    ((1, 1, 1, 1, 1), (1, 1, 0, 1), 1),
    ((1, 1, 1, 3, 7), (3, 1, 1, 1), 2),
    ((7, 5, 1, 3, 33), (3, 2, 1, 1), (0, True)),
    ((6, 7, 1, 4, 17), (5, 2, 2, 1), SUMS),
    ((5, 5, 1, 9, 65), (3, 1, 0, 1), 1),
    ((3, 4, 1, 65, 9), (3, 1, 1, 1), 3),
    ((7, 8, 3, 1, 5), (3, 1, 2, 2), 4),
    ((9, 9, 2, 4, 16), (3, 2, 1, 1), (2, False)),
]


def drawn_convolutions(target: Target, seed: int) -> list[ConvolutionOperator]:
    """All of the above."""
    draw = Draw(seed)
    operators: list[ConvolutionOperator] = [bit_serial(draw, target, one) for one in BIT_SERIAL]
    return operators + [picture(draw, target, one) for one in PICTURE]


def bit_serial(draw: Draw, target: Target, shape: Any, schedule: Any = None) -> BitSerialConv:
    """One of BIT_SERIAL."""
    size, (kernel, stride, padding, with_top, dilation), bits, wanted = shape
    height, width, groups, channels, out = size
    weight_bits, code_bits, signed = bits
    codes = Codes((height, width, groups * channels), code_bits, signed)
    largest = kernel**2 * channels * (2**weight_bits - 1) * codes.top
    output, shortcut = _stage(draw, groups * out, wanted, largest, 2 * largest**0.5)
    layer = Convolution(
        name="convolution",
        input="codes",
        weight=draw.levels((groups * out, kernel, kernel, channels), weight_bits),
        weight_bits=weight_bits,
        output=output,
        stride=stride,
        padding=padding,
        padding_level=codes.top if with_top else 0,
        dilation=dilation,
        groups=groups,
    )
    return BitSerialConv(codes, layer, shortcut, target, schedule)


def picture(draw: Draw, target: Target, shape: Any, schedule: Any = None) -> QuantizedConv:
    """One of PICTURE."""
    (height, width, groups, channels, out), window, wanted = shape
    kernel, stride, padding, dilation = window
    size = (groups * out, kernel, kernel, channels)
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
    return QuantizedConv(
        Image((height, width, groups * channels)), layer, shortcut, target, schedule
    )


def _stage(
    draw: Draw, channels: int, wanted: Any, largest: int, spread: float
) -> tuple[OutputStage, int]:
    """An output stage, and its shortcut's channels."""
    if wanted == SUMS:
        return Sums(), 0
    if isinstance(wanted, int):
        stage = draw.quantize(channels, wanted, SIGNED, spread)
        thresholds = stage.thresholds.copy()
        thresholds[0, : channels // 4] = INT32.min
        thresholds[-1, channels // 8 : channels // 3] = INT32.max
        return replace(stage, thresholds=thresholds), 0
    repeats, activation = wanted
    shortcut = channels // repeats if repeats else 0
    return draw.requantize(channels, largest, "shortcut" if repeats else None, activation), shortcut


def convolution_inputs(
    operator: ConvolutionOperator, random: np.random.Generator
) -> tuple[NDArray[Any], ...]:
    """Codes or a picture, and the shortcut's stream."""
    shape = (1, *operator.source.shape)
    if isinstance(operator.source, Codes):
        codes = random.integers(0, operator.source.top + 1, shape)
        first = pack_codes(codes, operator.source.bits)
    else:
        first = random.integers(0, 256, shape, dtype=np.uint8)
    streams = [random.integers(-20000, 20000, spec.shape) for spec in operator.inputs[1:]]
    return (first, *(stream.astype(np.int16) for stream in streams))
