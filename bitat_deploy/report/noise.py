"""Whether a difference between two measurements is more than noise."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Of each side; with fewer runs the noise is unknown.
MINIMUM_RUNS = 10

CONFIDENCE = 0.99
_NORMAL_QUANTILE = 2.5758  # of CONFIDENCE, two-sided
_RESAMPLES = 1000
_SEED = 0  # the same two reports give the same answer, always


def median_change_interval(before: ArrayLike, after: ArrayLike) -> tuple[float, float]:
    """Interval of CONFIDENCE for median(after) / median(before) - 1.

    Runs that follow each other are not independent: a clock that rises or a neighbour's load
    touches many in a row. So whole blocks are drawn, not single runs (circular block bootstrap,
    Politis and Romano 1992), with blocks as long as the square root of the number of runs.
    """
    generator = np.random.default_rng(_SEED)
    ratios = _resampled_medians(after, generator) / _resampled_medians(before, generator)
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low) - 1, float(high) - 1


def median_interval(samples: ArrayLike) -> tuple[float, float]:
    """Interval of CONFIDENCE for the median, by the same bootstrap; at least MINIMUM_RUNS."""
    medians = _resampled_medians(samples, np.random.default_rng(_SEED))
    low, high = np.quantile(medians, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def accuracy_interval(accuracy: float, images: int) -> tuple[float, float]:
    """Interval of CONFIDENCE for an accuracy over ``images`` (Wilson 1927), a fraction of 1.

    It knows the choice of the images, not that of the training's seed.
    """
    square = _NORMAL_QUANTILE**2 / images
    middle = (accuracy + square / 2) / (1 + square)
    reach = math.sqrt(accuracy * (1 - accuracy) * square + square**2 / 4) / (1 + square)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def mean_change_interval(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[float, float]:
    """The same for the mean, from ``mean``, ``std`` and ``runs`` alone, as if independent."""
    change = math.log(after["mean"] / before["mean"])
    error = math.hypot(
        *(side["std"] / side["mean"] / math.sqrt(side["runs"]) for side in (before, after))
    )
    reach = _NORMAL_QUANTILE * error
    return math.expm1(change - reach), math.expm1(change + reach)


def proportions_differ(before: float, after: float, images: tuple[int, int]) -> bool:
    """Whether two accuracies, over ``images`` each, differ by more than the choice of images.

    The two-proportion test; where both were measured on the same images it errs on the careful
    side.
    """
    total = before * images[0] + after * images[1]
    pooled = total / sum(images)
    error = math.sqrt(pooled * (1 - pooled) * (1 / images[0] + 1 / images[1]))
    return abs(after - before) > _NORMAL_QUANTILE * error


def _resampled_medians(samples: ArrayLike, generator: np.random.Generator) -> NDArray[np.float64]:
    values = np.asarray(samples, dtype=np.float64)
    count = len(values)
    length = math.ceil(math.sqrt(count))
    starts = generator.integers(count, size=(_RESAMPLES, math.ceil(count / length), 1))
    indices = (starts + np.arange(length)) % count
    medians: NDArray[np.float64] = np.median(
        values[indices.reshape(_RESAMPLES, -1)[:, :count]], axis=1
    )
    return np.maximum(medians, 1e-9)  # a clock too coarse for the network would show zero
