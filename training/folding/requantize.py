"""Batch normalisation into an int16 stream: multiplier, bias, shift; RPReLU; the stream's scale.

A stream's integer s stands for (s + 1/2) / S. Then y >= 0 is s >= 0 with no bias: real values are
rounded down where a stream begins, and to the nearest where a shortcut is added.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bitat_deploy.errors import InputError
from bitat_deploy.network import Requantize, rounding
from bitat_deploy.network import RPReLU as IntegerRPReLU
from bitat_deploy.training.folding.source import float64
from bitat_deploy.training.networks import QuantizedNetwork, RPReLU, StreamRange
from bitat_deploy.training.normalization import affine_of

_INT16 = 2**15 - 1
_LARGEST = 2**31 - 1 - 2**15  # of sum * multiplier + bias, see network/formats.py
_STEEPEST = 2**13 - 1  # steps of the stream for one step of a sum
_MARGIN = 1.25


def stream_scale(network: QuantizedNetwork) -> float:
    """The scale S of a network's streams, one for all of them.

    The largest with which 1.25 times what training saw last stays within int16: values beyond are
    rare, and saturate. Raises InputError for a network that was never trained.
    """
    peaks = [float(part.peak) for part in network.modules() if isinstance(part, StreamRange)]
    peak = max(peaks, default=1.0)
    if not peak > 0 or not math.isfinite(peak):
        raise InputError("the network has not been trained: its stream has no range yet")
    return _INT16 / (_MARGIN * peak)


def fold_requantize(
    normalization: nn.BatchNorm2d,
    unit: NDArray[np.float64],
    largest_sum: NDArray[np.int64],
    scale: float,
    shortcut: str | None,
    activation: IntegerRPReLU | None,
) -> Requantize:
    """The stream of y = gamma (unit sum - mean) / deviation + beta, plus the shortcut's.

    ``unit`` and ``largest_sum`` (magnitude) [out]. The shift is the largest with which nothing
    overflows. Of a channel whose sums hardly ever varied the slope is cut, for it would cost the
    others their fractional bits; the bias keeps its y right at the mean.
    """
    gamma, beta, mean, deviation = affine_of(normalization)
    gain = np.clip(gamma / deviation * unit * scale, -_STEEPEST, _STEEPEST)
    for shift in range(24, -1, -1):
        limit = np.minimum(_INT16, _LARGEST // 2 // np.maximum(largest_sum, 1))
        multiplier = np.rint(gain * 2**shift)
        clipped = np.clip(multiplier, -limit, limit)
        offset = beta * scale * 2**shift - clipped * mean / unit
        bias = np.rint(offset) + (rounding(shift) if shortcut is not None else 0)
        fits = np.abs(bias) + largest_sum * np.abs(clipped) <= _LARGEST
        if shift == 0 or (fits.all() and (multiplier == clipped).all()):
            break
    room = _LARGEST - largest_sum * np.abs(clipped)
    bias = np.clip(bias, -room, room)
    return Requantize(clipped.astype(np.int16), bias.astype(np.int32), shift, shortcut, activation)


def fold_rprelu(activation: RPReLU, scale: float) -> IntegerRPReLU:
    """Shifts in the stream's units, slopes with as many fractional bits as fit."""
    shifts = (float64(part).reshape(-1) * scale for part in (activation.before, activation.after))
    before, after = map(_int16, shifts)
    return replace(fold_slope(float64(activation.slope)), before=before, after=after)


def fold_slope(slope: NDArray[np.float64]) -> IntegerRPReLU:
    """A PReLU of ``slope`` [channels], without shifts."""
    steepest = max(float(np.abs(slope).max()), 2.0**-15)
    slope_shift = min(max(math.floor(math.log2(_INT16 / steepest)), 1), 15)
    none = np.zeros(len(slope), np.int16)
    return IntegerRPReLU(none, _int16(slope * 2**slope_shift), slope_shift, none)


def _int16(values: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.rint(np.clip(values, -_INT16, _INT16)).astype(np.int16)
