"""What an elementwise chain is as a step function, found by running it.

Nothing is said here of how a quantizer is spelled. A chain of monotone operators that gives few
different values is one: bisection finds, channel by channel, the very number at which the value
changes, and so everything in the chain (batch normalisation, activation, the quantizer itself and
the rounding of each) is in these numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 16  # of 4 bits
_GRID = 65
_CHECKS = 257
# A position is the place of a float32 among all float32 in order of size; 0 is 0.
_LARGEST = int(np.array(np.finfo(np.float32).max).view(np.int32))

Function = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Steps:
    """A step function for each channel.

    ``starts`` [channel] are the positions, ascending, at which a new value starts, and ``values``
    [channel] the values, one more than starts, which rise or fall from one to the next.
    """

    starts: tuple[NDArray[np.int64], ...]
    values: tuple[NDArray[np.float64], ...]


def float_of_position(position: NDArray[np.int64]) -> NDArray[np.float32]:
    """The float32 at each position."""
    magnitude = np.abs(position).astype(np.int32).view(np.float32)
    return np.where(position < 0, -magnitude, magnitude).astype(np.float32)


def find_float_steps(function: Function, channels: int) -> Steps | None:
    """Steps over all finite float32; None where the function is not one of at most 16 values."""
    ends = np.full((2, channels), _LARGEST, np.int64)
    return find_steps(lambda position: function(float_of_position(position)), -ends[0], ends[1])


def find_steps(
    function: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    lowest: NDArray[np.int64],
    highest: NDArray[np.int64],
) -> Steps | None:
    """Steps of ``function`` of positions [channels, points], between two for each channel.

    None where it has more than 16 values, is not monotone, or is no number somewhere.
    """
    share = np.linspace(0, 1, _GRID)
    span = (highest - lowest).astype(np.float64)
    grid = lowest[:, None] + np.floor(span[:, None] * share).astype(np.int64)
    grid[:, -1] = highest
    if (lowest < 0).any() and (highest > 0).any():
        grid = np.sort(np.concatenate([grid, _around_zero(lowest, highest)], axis=1), axis=1)
    values = function(grid)
    if not np.isfinite(values).all() or not _is_monotone(values):
        return None
    if max(len(np.unique(row)) for row in values) > MAX_VALUES:
        return None
    found = _bisect(function, grid, values)
    if found is None:
        return None
    steps = _steps(found, values[:, 0])
    return steps if _verified(function, steps, lowest, highest) else None


def evaluate_steps(steps: Steps, position: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values [channels, points] of the step functions."""
    rows = [
        values[np.searchsorted(starts, row, side="right")]
        for starts, values, row in zip(steps.starts, steps.values, position, strict=True)
    ]
    return np.stack(rows)


def _around_zero(lowest: NDArray[np.int64], highest: NDArray[np.int64]) -> NDArray[np.int64]:
    near = np.array([-(1 << 29), -1, 0, 1, 1 << 29])
    return np.clip(near[None], lowest[:, None], highest[:, None])


def _is_monotone(values: NDArray[np.float64]) -> bool:
    rise = np.diff(values, axis=1)
    return bool(((rise >= 0).all(axis=1) | (rise <= 0).all(axis=1)).all())


def _bisect(
    function: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    grid: NDArray[np.int64],
    values: NDArray[np.float64],
) -> list[tuple[int, int, float]] | None:
    """(channel, start, value) of every step."""
    channels = len(grid)
    channel, column = np.nonzero(values[:, 1:] != values[:, :-1])
    low, high = grid[channel, column], grid[channel, column + 1]
    before, after = values[channel, column], values[channel, column + 1]
    while (high - low > 1).any():
        if len(low) > MAX_VALUES * channels:
            return None
        middle = (low + high) // 2
        reached = _at(function, channel, middle, channels)
        if not np.isfinite(reached).all():
            return None
        inside = (reached != before) & (reached != after)
        is_before = reached == before
        new_low = np.where(is_before, middle, low)
        new_high = np.where(is_before, high, middle)
        channel = np.concatenate([channel, channel[inside]])
        low, high = (
            np.concatenate([new_low, middle[inside]]),
            np.concatenate([new_high, high[inside]]),
        )
        before, after = (
            np.concatenate([before, reached[inside]]),
            np.concatenate([np.where(inside, reached, after), after[inside]]),
        )
    return [(int(c), int(h), float(v)) for c, h, v in zip(channel, high, after, strict=True)]


def _at(
    function: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    channel: NDArray[np.int64],
    position: NDArray[np.int64],
    channels: int,
) -> NDArray[np.float64]:
    """The function at one position of one channel each."""
    order = np.argsort(channel, kind="stable")
    counts = np.bincount(channel, minlength=channels)
    first = np.cumsum(counts) - counts
    column = np.empty(len(channel), np.int64)
    column[order] = np.arange(len(channel)) - first[channel[order]]
    points = np.zeros((channels, max(int(counts.max()), 1)), np.int64)
    points[channel, column] = position
    values: NDArray[np.float64] = function(points)[channel, column]
    return values


def _steps(found: list[tuple[int, int, float]], first: NDArray[np.float64]) -> Steps:
    starts: list[list[int]] = [[] for _ in first]
    values: list[list[float]] = [[float(value)] for value in first]
    for channel, start, value in sorted(found):
        starts[channel].append(start)
        values[channel].append(value)
    return Steps(
        tuple(np.array(row, np.int64) for row in starts),
        tuple(np.array(row, np.float64) for row in values),
    )


def _verified(
    function: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    steps: Steps,
    lowest: NDArray[np.int64],
    highest: NDArray[np.int64],
) -> bool:
    """Whether the chain gives the steps' values next to every step and at places between."""
    for values in steps.values:
        rise = np.diff(values)
        if not ((rise > 0).all() or (rise < 0).all()) or len(values) > MAX_VALUES:
            return False
    random = np.random.default_rng(0)
    drawn = lowest[:, None] + np.floor(
        (highest - lowest)[:, None] * random.random((len(lowest), _CHECKS))
    ).astype(np.int64)
    widest = max((len(starts) for starts in steps.starts), default=0)
    near = np.broadcast_to(lowest[:, None], (len(lowest), 2 * max(widest, 1))).copy()
    for channel, starts in enumerate(steps.starts):
        near[channel, : 2 * len(starts)] = np.concatenate([starts - 1, starts])
    points = np.concatenate([drawn, near], axis=1)
    return bool((function(points) == evaluate_steps(steps, points)).all())
