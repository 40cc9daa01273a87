"""Operators with drawn shapes, weights and thresholds, and inputs for them.

General convolutions are in :mod:`.drawn_convolutions`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network import pack_bits, pack_codes
from bitat_deploy.operators import (
    AveragePoolStream,
    BinaryDepthwiseConv,
    BinaryPointwiseConv,
    GlobalBitCount,
    GlobalCodeSum,
    GlobalStreamSum,
    MaxPoolCodes,
    Operator,
    PointwiseSchedule,
    QuantizedDense,
    TensorSpec,
    ThresholdPack,
    Unpack,
)
from bitat_deploy.target import Target

INT32 = np.iinfo(np.int32)

# height, width, channels, out channels. 31 words of 8 bits, and of 32 bits, are where sums widen.
POINTWISE = [
    (1, 1, 1, 1),
    (3, 5, 3, 7),
    (2, 2, 9, 17),
    (1, 3, 33, 65),
    (3, 3, 65, 130),
    (2, 3, 130, 33),
    (5, 1, 248, 64),
    (2, 2, 249, 16),
    (1, 5, 512, 100),
    (1, 1, 1025, 24),
]
# height, width, channels, kernel, stride, padding
DEPTHWISE = [
    (1, 1, 1, 3, 1, 1),
    (3, 5, 3, 3, 2, 1),
    (5, 4, 17, 3, 1, 1),
    (7, 7, 33, 5, 2, 2),
    (4, 6, 65, 3, 1, 0),
    (6, 5, 130, 3, 2, 1),
    (4, 4, 512, 3, 1, 1),
    (3, 2, 9, 1, 1, 0),
    (8, 8, 24, 5, 1, 2),
]
BIT_COUNT = [(1, 1, 1), (3, 4, 3), (7, 7, 130), (16, 9, 17)]
DENSE = [(1, 1), (3, 7), (65, 33), (130, 10), (49, 150)]
COUNT_LIMITS = (49, 127, 128, 10**5)
# height, width, channels, dtype, bits
PACK = [
    (1, 1, 1, "int32", 1),
    (3, 4, 3, "int8", 2),
    (2, 2, 65, "uint8", 1),
    (2, 3, 130, "int32", 4),
    (1, 5, 81, "int8", 1),
    (3, 2, 75, "int16", 3),
    (2, 2, 83, "float32", 2),
]
# height, width, channels, bits, whether signed, dtype
UNPACK = [
    (1, 1, 1, 1, True, "int8"),
    (3, 4, 8, 2, False, "int8"),
    (2, 3, 130, 4, True, "int8"),
    (3, 2, 203, 3, True, "float32"),
]
# height, width, channels, shift of the global sum
STREAM_POOLING = [(1, 1, 1, 0), (3, 4, 3, 1), (4, 7, 33, 7), (5, 6, 130, 4)]
# height, width, channels, bits
CODE_SUM = [(1, 1, 1, 2), (7, 9, 130, 4), (16, 9, 33, 3)]
# height, width, channels, bits, kernel, stride, padding
MAX_POOL = [
    (1, 1, 1, 1, 1, 1, 0),
    (7, 5, 130, 1, 3, 2, 1),
    (7, 5, 30, 2, 3, 2, 1),
    (9, 8, 600, 4, 3, 1, 2),
    (4, 6, 33, 3, 5, 3, 4),
    (4, 4, 8, 4, 2, 2, 0),
]
SCHEDULES = [
    PointwiseSchedule(8, 16, 3, 2, 1),
    PointwiseSchedule(8, 16, 4, 1, 3),
    PointwiseSchedule(32, 32, 2, 2, 7),
    PointwiseSchedule(8, 16, 4, 1, 1, table_bytes=8, table_words=2),
    PointwiseSchedule(8, 16, 2, 2, 1, table_bytes=16, table_words=1),
]


def drawn_operators(target: Target, seed: int) -> list[Operator]:
    """Operators at all shapes above."""
    random = np.random.default_rng(seed)
    operators: list[Operator] = [pointwise(random, target, *shape) for shape in POINTWISE]
    for height, width, channels, kernel, stride, padding in DEPTHWISE:
        weight = random.integers(0, 2, (kernel, kernel, channels), dtype=np.uint8)
        threshold = thresholds(random, channels, kernel**2)
        operators.append(
            BinaryDepthwiseConv(height, width, weight, threshold, stride, padding, target)
        )
    operators += [GlobalBitCount(*shape, target) for shape in BIT_COUNT]
    for channels, classes in DENSE:
        weight8 = random.integers(-128, 128, (classes, channels)).astype(np.int8)
        bias = random.integers(-(10**6), 10**6, classes).astype(np.int32)
        operators += [
            QuantizedDense(weight8, bias, np.float32(0.0123), limit, target)
            for limit in COUNT_LIMITS
        ]
    for height, width, channels, dtype, bits in PACK:
        drawn = [thresholds(random, channels, 200) for _ in range(2**bits - 1)]
        stacked = np.stack(drawn).astype("float32" if dtype == "float32" else "int32")
        if dtype == "int8":  # compared in int16, as no threshold is above its range
            stacked = np.minimum(stacked, np.iinfo(np.int16).max)
        operators.append(ThresholdPack(height, width, dtype, stacked, target))
    operators += [Unpack(*shape, target) for shape in UNPACK]
    for height, width, channels, shift in STREAM_POOLING:
        operators.append(AveragePoolStream(height, width, channels, target))
        operators.append(GlobalStreamSum(height, width, channels, shift, target))
    operators += [GlobalCodeSum(*shape, target) for shape in CODE_SUM]
    operators += [MaxPoolCodes(*shape, target) for shape in MAX_POOL]
    return operators


def pointwise(
    random: np.random.Generator,
    target: Target,
    height: int,
    width: int,
    channels: int,
    out: int,
    schedule: PointwiseSchedule | None = None,
) -> BinaryPointwiseConv:
    """A binary 1x1 convolution with drawn weights and thresholds."""
    weight = random.integers(0, 2, (out, channels), dtype=np.uint8)
    threshold = thresholds(random, out, min(channels, 3 + round(2 * channels**0.5)))
    return BinaryPointwiseConv(height, width, weight, threshold, target, schedule)


def thresholds(random: np.random.Generator, channels: int, reach: int) -> NDArray[np.int32]:
    """Within and just beyond ``reach``; among them the extremes of int32."""
    drawn = random.integers(-reach - 1, reach + 2, channels).astype(np.int32)
    extremes = [INT32.min, INT32.max, INT32.min + 1, INT32.max - 1]
    drawn[: channels // 4] = np.resize(extremes, channels // 4)
    return drawn


def drawn_inputs(operator: Operator, random: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """Inputs that the operator can meet: spare bits are 0."""
    if isinstance(operator, BinaryPointwiseConv | BinaryDepthwiseConv | GlobalBitCount):
        (spec,) = operator.inputs
        return (pack_bits(random.integers(0, 2, (*spec.shape[:3], operator.channels))),)
    if isinstance(operator, GlobalCodeSum | MaxPoolCodes | Unpack):
        shape = (1, operator.height, operator.width, operator.channels)
        return (pack_codes(random.integers(0, 2**operator.bits, shape), operator.bits),)
    if isinstance(operator, QuantizedDense):
        counts = random.integers(-operator.limit, operator.limit + 1, operator.inputs[0].shape)
        counts[:, random.integers(0, 2, operator.channels) == 1] = -operator.limit
        return (counts.astype(np.int32),)
    return tuple(_drawn(spec, random) for spec in operator.inputs)


def _drawn(spec: TensorSpec, random: np.random.Generator) -> NDArray[Any]:
    if spec.dtype == "float32":
        return random.choice([*range(-200, 201), np.nan, np.inf], spec.shape).astype(np.float32)
    limits = np.iinfo(spec.dtype)
    low, high = max(limits.min, -1000), min(limits.max, 1000)
    return random.integers(low, high + 1, spec.shape).astype(spec.dtype)
