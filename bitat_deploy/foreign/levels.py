"""Maps real numbers to the integer levels that our operators compute with.

Levels of n bits are odd in our operators, or, for activations, 0 to 2^n - 1. Two other
kinds of tensors are supported. Two values a (+-1) + b are one bit with an offset
b (AdaBin, arXiv 2208.08084). Whole numbers i from -2^(n - 1) to 2^(n - 1) - 1, as ternary weights
and QONNX's integers are, are the levels 2 i + 1 of n bits times 1/2, with the offset -1/2.
Either is exact. An offset of the weights costs the sum of the inputs, an offset of the
inputs a constant (:mod:`.binarized`).

Where that needs more than 4 bits, and for convolutions in groups, each whole number is the mean of
two odd ones, i = (a + b) / 2: such a tensor is taken as two copies of its channels, one with the
levels a and one with the levels b.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.foreign.steps import Steps
from bitat_deploy.network import MAX_BITS

_HIGHEST = 2**MAX_BITS - 1
_TOLERANCE = 1e-5  # of a level: what float32 scales are off by
_ROUNDING = 2.5e-7  # of numbers up to 1, as exported with a straight-through gradient: (s - w) + w


@dataclass(frozen=True, eq=False)
class WeightLevels:
    """weight[o] = ``scale``[o] * sum of ``copies``[k][o] over k / number of copies + ``offset``[o].

    Copies int8 [out, ...], of odd levels of ``bits`` bits; ``scale`` and ``offset`` float64 [out].
    There is one copy where any offset is not 0.
    """

    copies: tuple[NDArray[np.int8], ...]
    bits: int
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CodeSteps:
    """A quantizer to ``scale``[c] * sum of copies' levels / number of copies + ``offset``[c].

    ``starts`` int64 [copies][channels, 2^bits - 1]: the position from which a code is at least
    1, 2, ...; for channels in ``falling`` the position up to which it is. NEVER and ALWAYS where
    no position in between does it. There is one copy where any offset is not 0.
    """

    starts: tuple[NDArray[np.int64], ...]
    falling: NDArray[np.bool_]
    bits: int
    signed: bool
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]


NEVER = np.iinfo(np.int64).max
ALWAYS = np.iinfo(np.int64).min


def whole_multiples(
    rows: list[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]] | None:
    """A scale per row, and the integers from -15 to 15 that give the row when multiplied by it.

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


def weight_levels(weight: NDArray[np.float64], groups: int = 1) -> WeightLevels | None:
    """Levels of weights [out, ...] with a scale per output; None if there are too many levels."""
    rows = [row.reshape(-1) for row in weight]
    found = whole_multiples(rows)
    scale, multiples = found or (np.zeros(0), [np.zeros(0, np.int64)])
    whole = np.stack(multiples).reshape(weight.shape if found else (0,))
    odd, none = bool((whole % 2 == 1).all()), np.zeros(len(rows))
    if found and odd and np.abs(whole).max() == 1:
        return _weight_levels((whole,), scale, none)
    pairs = [two_values(row) for row in rows]
    if all(pair is not None for pair in pairs):
        low, high = np.array(pairs, np.float64).T
        middle, half = (low + high) / 2, (high - low) / 2
        plain = half <= 0  # one value
        half = np.where(plain, np.where(low == 0, 1, np.abs(low)), half)
        middle = np.where(plain, low - half * np.sign(low + (low == 0)), middle)
        middle[np.abs(middle) <= np.maximum(_TOLERANCE * half, _ROUNDING)] = 0
        shape = (-1,) + (1,) * (weight.ndim - 1)
        signs = np.where(weight >= middle.reshape(shape), 1, -1)
        return _weight_levels((signs,), half, middle)
    if found is None:
        return None
    levels = 2 * whole + 1
    if odd:
        return _weight_levels((whole,), scale, none)
    if groups == 1 and _odd_bits(int(np.abs(levels).max())) <= MAX_BITS:
        return _weight_levels((levels,), scale / 2, -scale / 2)
    return _weight_levels(odd_copies(whole), scale, none)


def _weight_levels(
    copies: tuple[NDArray[np.int64], ...], scale: NDArray[np.float64], offset: NDArray[np.float64]
) -> WeightLevels:
    highest = max(int(np.abs(copy).max()) for copy in copies)
    levels = tuple(copy.astype(np.int8) for copy in copies)
    return WeightLevels(levels, _odd_bits(highest), scale, offset)


def two_values(row: NDArray[np.float64]) -> tuple[float, float] | None:
    """The two values of a row up to rounding, twice the same if there is one; None if more."""
    low, high = float(row.min()), float(row.max())
    noise = max(_TOLERANCE * max(abs(low), abs(high)), _ROUNDING)
    below = row < (low + high) / 2
    if high - low <= noise:
        return (low, low)
    if np.ptp(row[below]) > noise or np.ptp(row[~below]) > noise or high - low < 100 * noise:
        return None
    return float(np.median(row[below])), float(np.median(row[~below]))


def odd_copies(whole: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """The numbers themselves if all are odd, else two arrays of odd numbers whose mean they are."""
    if (whole % 2 == 1).all():
        return (whole,)
    even = 1 - whole % 2
    return whole + even, whole - even


def _odd_bits(highest: int) -> int:
    return max(highest, 1).bit_length()


def code_steps(steps: Steps) -> CodeSteps | None:
    """The quantizer as codes of 1 to 4 bits; None if its values do not fit any."""
    falling = _falling(steps)
    found = _multiples(steps)
    scale, levels = found or (np.ones(0), [np.zeros(0, np.int64)])
    everything = np.concatenate(levels)
    unsigned, odd = (everything >= 0).all(), (everything % 2 == 1).all()
    one_bit = np.abs(everything).max(initial=0) <= 1 and (unsigned or odd)
    if all(len(values) <= 2 for values in steps.values) and (found is None or not one_bit):
        return _two_valued(steps)
    if found is None:
        return None
    none = np.zeros(len(scale))
    if unsigned:
        bits = max(int(everything.max()), 1).bit_length()
        starts = _starts(steps.starts, levels, falling, list(range(1, 2**bits)))
        return CodeSteps((starts,), falling, bits, False, scale, none)
    if odd:
        return _signed(steps, [levels], scale, none)
    shifted = [2 * level + 1 for level in levels]
    if _odd_bits(int(np.abs(np.concatenate(shifted)).max())) <= MAX_BITS:
        return _signed(steps, [shifted], scale / 2, -scale / 2)
    copies = [odd_copies(level) for level in levels]
    by_copy = [[copy[min(index, len(copy) - 1)] for copy in copies] for index in range(2)]
    return _signed(steps, by_copy, scale, none)


def _multiples(steps: Steps) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]] | None:
    """A scale and integer levels per channel, with a common scale if possible."""
    common = whole_multiples([np.concatenate(steps.values)])
    if common is None:
        return whole_multiples(list(steps.values))
    ends = np.cumsum([len(values) for values in steps.values])[:-1]
    return np.repeat(common[0], len(steps.values)), np.split(common[1][0], ends)


def _two_valued(steps: Steps) -> CodeSteps | None:
    """One bit with an offset for each channel; a channel of one value has the widest scale."""
    widest = max(float(np.ptp(values)) / 2 for values in steps.values) or 1.0
    scale = np.array([float(np.ptp(v)) / 2 if len(v) == 2 else widest for v in steps.values])
    offset = np.array([v.mean() if len(v) == 2 else v[0] - widest for v in steps.values])
    levels = [np.where(v == v.max(), 1, -1) for v in steps.values]
    return _signed(steps, [levels], scale, offset)


def _signed(
    steps: Steps,
    by_copy: list[list[NDArray[np.int64]]],
    scale: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> CodeSteps | None:
    falling = _falling(steps)
    highest = max(int(np.abs(level).max()) for rows in by_copy for level in rows)
    bits = _odd_bits(highest)
    if bits > MAX_BITS:
        return None
    wanted = [2 * code - (2**bits - 1) for code in range(1, 2**bits)]
    starts = tuple(_starts(steps.starts, rows, falling, wanted) for rows in by_copy)
    return CodeSteps(starts, falling, bits, True, scale, offset)


def code_steps_like(steps: Steps, like: CodeSteps) -> CodeSteps | None:
    """The quantizer as codes of the same levels as ``like``; None where it gives others."""
    levels = []
    for values, scale, offset in zip(steps.values, like.scale, like.offset, strict=True):
        ratio = (values - offset) / scale
        level = np.round(ratio)
        largest = np.maximum(np.abs(level), abs(offset) / scale)
        if (np.abs(ratio - level) > _TOLERANCE * np.maximum(largest, 1)).any():
            return None
        levels.append(level.astype(np.int64))
    everything, top = np.concatenate(levels), 2**like.bits - 1
    sound = (everything % 2 == 1) if like.signed else (everything >= 0)
    if len(like.starts) != 1 or not sound.all() or np.abs(everything).max() > top:
        return None
    wanted = [2 * code - top if like.signed else code for code in range(1, top + 1)]
    falling = _falling(steps)
    starts = _starts(steps.starts, levels, falling, wanted)
    return CodeSteps((starts,), falling, like.bits, like.signed, like.scale, like.offset)


def _falling(steps: Steps) -> NDArray[np.bool_]:
    return np.array([bool(len(values) > 1 and values[1] < values[0]) for values in steps.values])


def _starts(
    starts: tuple[NDArray[np.int64], ...],
    levels: list[NDArray[np.int64]],
    falling: NDArray[np.bool_],
    wanted: list[int],
) -> NDArray[np.int64]:
    """Where a channel's level becomes (in falling channels: stops being) at least ``wanted``."""
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
