"""Clips made tight, so that nothing is left to saturate after the multiplication.

A clip keeps sums where their result is just within the limits, or just beyond. Where it is
moved so that the first and the last sum that are left give results within, and the same ones as
all sums that were cut off, the result needs no saturation: two operations of about ten. Results
rise or fall with the sum, so only the ends are looked at. Slopes below one step a sum always allow
it.
"""

from dataclasses import replace

import numpy as np

from bitat_deploy.network import SATURATION, Clip, Requantize

_INT32 = np.iinfo(np.int32)


def without_saturation(stage: Requantize, largest: int) -> Requantize | None:
    """A stage with the same results, all of them within its type; None where there is none.

    ``largest`` is the magnitude of sums, and of what the clip's offset is added to, at most.
    """
    if stage.clip is None or stage.shortcut is not None:
        return None
    low, high = SATURATION[stage.dtype]
    shift = stage.shift
    multiplier, bias, offset, reach = (
        x.astype(np.int64)
        for x in (stage.multiplier, stage.bias, stage.clip.offset, stage.clip.reach)
    )
    rises = multiplier >= 0
    # y >= low: multiplier s >= least; y <= high: multiplier s <= most.
    least, most = (low << shift) - bias, ((high + 1) << shift) - 1 - bias
    slope = np.where(multiplier == 0, 1, np.abs(multiplier))
    first = np.where(rises, -(-least // slope), -(most // slope))
    last = np.where(rises, most // slope, -least // slope)
    flat = multiplier == 0
    inside = (least <= 0) & (most >= 0)
    first = np.where(flat, np.where(inside, 0, 1), first.clip(0))
    last = np.where(flat, np.where(inside, reach, 0), np.minimum(last, reach))
    empty = first > last  # always the same: a limit
    ends = np.stack([np.zeros_like(reach), reach])
    before = ((ends * multiplier + bias) >> shift).clip(low, high)
    constant = before[0] == before[1]
    first, last = np.where(empty, 0, first), np.where(empty, 0, last)
    multiplier = np.where(empty, 0, multiplier)
    bias = np.where(empty, before[0] << shift, bias + multiplier * first)
    offset, reach = offset - first, last - first
    after = (np.stack([np.zeros_like(reach), reach]) * multiplier + bias) >> shift
    same = np.where(empty, constant, True) & (after == before).all(axis=0)
    product = reach * multiplier
    numbers = np.stack([bias, product, product + bias])
    fits = (np.abs(numbers) <= _INT32.max).all() and (largest + np.abs(offset) <= _INT32.max).all()
    if not (same.all() and fits):
        return None
    clip = Clip(offset.astype(np.int32), reach.astype(np.int32))
    return replace(
        stage, multiplier=multiplier.astype(np.int32), bias=bias.astype(np.int32), clip=clip
    )
