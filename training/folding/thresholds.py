"""Batch normalisation and quantizer as integer thresholds."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bitat_deploy.training.normalization import affine_of

_INT32 = np.iinfo(np.int32)


def fold_thresholds(
    normalization: nn.BatchNorm2d,
    unit: NDArray[np.float64],
    lowest: NDArray[np.int64],
    highest: NDArray[np.int64],
    crossings: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The integers t [codes - 1, channels] of which the code counts those with sum >= t, and
    which channels need their filter negated.

    The layer's real-valued sum is ``unit * sum`` (``unit`` > 0, [channels]) with ``sum`` between
    ``lowest`` and ``highest``. The code is at least k + 1 where y = gamma (unit sum - mean) /
    deviation + beta >= ``crossings[k]``; crossings are rising, [codes - 1, channels] or
    [codes - 1, 1]. For gamma < 0 this is sum <= t, so the negated filter's sum is compared with
    -t. For gamma = 0 the code is constant. Thresholds are clipped to just beyond the range of the
    sum. Computes in float64.
    """
    gamma, beta, mean, deviation = affine_of(normalization)
    negative = gamma < 0
    constant = gamma == 0
    at = (mean + (crossings - beta) * deviation / np.where(constant, 1.0, gamma)) / unit
    at = np.where(constant, np.where(beta >= crossings, -np.inf, np.inf), at)
    at = np.where(negative, -at, at)
    low = np.where(negative, -highest, lowest)
    high = np.where(negative, -lowest, highest)
    return np.ceil(np.clip(at, low, high + 1)).astype(np.int32), negative


def stream_thresholds(crossings: NDArray[np.float64], scale: float) -> NDArray[np.int32]:
    """Crossings of real values as thresholds of a stream, whose s is (s + 1/2) / scale."""
    return np.ceil(np.clip(crossings * scale - 0.5, _INT32.min, _INT32.max)).astype(np.int32)
