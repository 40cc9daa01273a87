"""From real numbers to the whole levels that our operators compute with.

Weights of n bits are odd levels in our operators; a tensor may as well hold even ones, as ternary
weights and QONNX's integers do. Each whole number is the mean of two odd ones, i = (a + b) / 2,
so that twice the sum of x i is the sum of x a and x b: such a tensor is taken as two copies of its
channels, one with the levels a and one with the levels b. All of it is exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.foreign.steps import Steps
from bitat_deploy.network import MAX_BITS

_HIGHEST = 2**MAX_BITS - 1
_TOLERANCE = 1e-5  # of a level: what float32 scales are off by


@dataclass(frozen=True, eq=False)
class WeightLevels:
    """weight[o] = ``scale``[o] * sum of ``copies``[k][o] over k / number of copies.

    Copies int8 [out, ...], of odd levels of ``bits`` bits; ``scale`` float64 [out].
    """

    copies: tuple[NDArray[np.int8], ...]
    bits: int
    scale: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CodeSteps:
    """A quantizer whose value is ``scale``[c] * sum of copies' levels / number of copies.

    ``starts`` int64 [copies][channels, 2^bits - 1]: the position from which a code is at least
    1, 2, ...; for channels in ``falling`` the position up to which it is. NEVER and ALWAYS where
    no position in between does it.
    """

    starts: tuple[NDArray[np.int64], ...]
    falling: NDArray[np.bool_]
    bits: int
    signed: bool
    scale: NDArray[np.float64]


NEVER = np.iinfo(np.int64).max
ALWAYS = np.iinfo(np.int64).min


def whole_multiples(
    rows: list[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]] | None:
    """A scale for each row of numbers, and the whole numbers from -15 to 15 times which they are.

    None where a row has none. A row of zeros has scale 1.
    """
    scales, multiples = [], []
    for row in rows:
        magnitudes = np.abs(row[row != 0])
        if magnitudes.size == 0:
            scales.append(1.0)
            multiples.append(np.zeros(row.shape, np.int64))
            continue
        smallest = float(magnitudes.min())
        for divisor in range(1, _HIGHEST + 1):
            # The largest is the most precise; it is a whole number of scales.
            count = round(float(magnitudes.max()) / smallest * divisor)
            if not 1 <= count <= _HIGHEST:
                return None
            scale = float(magnitudes.max()) / count
            nearest = np.round(row / scale)
            if (np.abs(row / scale - nearest) <= _TOLERANCE * np.maximum(np.abs(nearest), 1)).all():
                scales.append(scale)
                multiples.append(nearest.astype(np.int64))
                break
        else:
            return None
    return np.array(scales), multiples


def weight_levels(weight: NDArray[np.float64]) -> WeightLevels | None:
    """Levels of weights [out, ...], with a scale for each output; None where they are not few."""
    found = whole_multiples([row.reshape(-1) for row in weight])
    if found is None:
        return None
    scale, rows = found
    whole = np.stack(rows).reshape(weight.shape)
    copies = odd_copies(whole)
    highest = max(int(np.abs(copy).max()) for copy in copies)
    return WeightLevels(tuple(copy.astype(np.int8) for copy in copies), _odd_bits(highest), scale)


def odd_copies(whole: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """The numbers themselves where all are odd; or two arrays of odd ones with them as mean."""
    if (whole % 2 == 1).all():
        return (whole,)
    even = 1 - whole % 2
    return whole + even, whole - even


def _odd_bits(highest: int) -> int:
    return max(highest, 1).bit_length()


def code_steps(steps: Steps) -> CodeSteps | None:
    """The quantizer as codes of 1 to 4 bits; None where its values are no multiples of one."""
    common = whole_multiples([np.concatenate(steps.values)])
    if common is not None:
        scale = np.repeat(common[0], len(steps.values))
        ends = np.cumsum([len(values) for values in steps.values])[:-1]
        levels = np.split(common[1][0], ends)
    else:
        found = whole_multiples(list(steps.values))
        if found is None:
            return None
        scale, levels = found
    falling = _falling(steps)
    everything = np.concatenate(levels)
    if (everything >= 0).all():
        bits = max(int(everything.max()), 1).bit_length()
        starts = _starts(steps.starts, levels, falling, list(range(1, 2**bits)))
        return CodeSteps((starts,), falling, bits, False, scale)
    copies = [odd_copies(level) for level in levels]
    count = len(odd_copies(everything))
    by_copy = [[copy[min(index, len(copy) - 1)] for copy in copies] for index in range(count)]
    highest = max(int(np.abs(level).max()) for rows in by_copy for level in rows)
    bits = _odd_bits(highest)
    if bits > MAX_BITS:
        return None
    wanted = [2 * code - (2**bits - 1) for code in range(1, 2**bits)]
    starts_by_copy = tuple(_starts(steps.starts, rows, falling, wanted) for rows in by_copy)
    return CodeSteps(starts_by_copy, falling, bits, True, scale)


def code_steps_like(steps: Steps, like: CodeSteps) -> CodeSteps | None:
    """The quantizer as codes of the same levels as ``like``; None where it gives others."""
    levels = []
    for values, scale in zip(steps.values, like.scale, strict=True):
        level = np.round(values / scale)
        if (np.abs(values / scale - level) > _TOLERANCE * np.maximum(np.abs(level), 1)).any():
            return None
        levels.append(level.astype(np.int64))
    everything, top = np.concatenate(levels), 2**like.bits - 1
    sound = (everything % 2 == 1) if like.signed else (everything >= 0)
    if len(like.starts) != 1 or not sound.all() or np.abs(everything).max() > top:
        return None
    wanted = [2 * code - top if like.signed else code for code in range(1, top + 1)]
    falling = _falling(steps)
    starts = _starts(steps.starts, levels, falling, wanted)
    return CodeSteps((starts,), falling, like.bits, like.signed, like.scale)


def _falling(steps: Steps) -> NDArray[np.bool_]:
    return np.array([bool(len(values) > 1 and values[1] < values[0]) for values in steps.values])


def _starts(
    starts: tuple[NDArray[np.int64], ...],
    levels: list[NDArray[np.int64]],
    falling: NDArray[np.bool_],
    wanted: list[int],
) -> NDArray[np.int64]:
    """From where, or in falling channels up to where, a channel's level is at least ``wanted``."""
    result = np.empty((len(levels), len(wanted)), np.int64)
    for channel, (row, level) in enumerate(zip(starts, levels, strict=True)):
        for column, least in enumerate(wanted):
            reached = np.nonzero(level >= least)[0]
            if len(reached) == 0:
                position = NEVER
            elif falling[channel]:
                last = int(reached[-1])
                position = ALWAYS if last == len(row) else int(row[last]) - 1
            else:
                first = int(reached[0])
                position = ALWAYS if first == 0 else int(row[first - 1])
            result[channel, column] = position
    return result
