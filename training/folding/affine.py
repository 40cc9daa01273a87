"""An affine map of integers as clip, multiplier, bias and shift, as precise as int32 allows."""

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network import Clip, Requantize

_LARGEST = 2**31 - 1 - 2**15  # of sum * multiplier + bias, see network/formats.py

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]


def fold_affine(
    gain: Reals,
    offset: Reals,
    bounds: tuple[Integers, Integers],
    limits: tuple[int, int],
    dtype: str,
    shortcut: str | None = None,
) -> Requantize:
    """floor(gain sum + offset), right wherever it is within ``limits``, else beyond them.

    ``gain`` and ``offset`` are [out]; sums lie within ``bounds`` (lowest, highest), int64 [out].
    Sums are clipped to where the result is within the limits, so that the product has as many bits
    whatever the sums' range is: of bytes the multiplier is right to 2^-23.
    """
    low, high = limits[0] - 1.0, limits[1] + 1.0
    steepest = high - low
    middle = (low + high) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        # Of a steeper slope one sum at most is within the limits: its value is kept.
        cut = np.clip(gain, -steepest, steepest)
        nearest = np.rint((middle - offset) / gain)
        value = np.clip(gain * nearest + offset, low, high)
        offset = np.where(cut == gain, offset, value - cut * nearest)
        ends = np.stack([(low - offset) / cut, (high - offset) / cut])
    ends = np.where(cut == 0, 0.0, ends)
    first = np.clip(np.floor(ends.min(axis=0)), *bounds).astype(np.int64)
    reach = np.clip(np.ceil(ends.max(axis=0)), *bounds).astype(np.int64) - first
    start = np.clip(cut * first + offset, low - steepest, high + steepest)
    for shift in range(30, -1, -1):
        multiplier, bias = np.rint(cut * 2**shift), np.rint(start * 2**shift)
        product = multiplier * reach
        largest = np.abs(np.stack([multiplier, bias, product, product + bias])).max()
        if largest <= _LARGEST:
            break
    return Requantize(
        multiplier=multiplier.astype(np.int32),
        bias=bias.astype(np.int32),
        shift=shift,
        shortcut=shortcut,
        clip=Clip((-first).astype(np.int32), reach.astype(np.int32)),
        dtype=dtype,
    )
