"""Describes an elementwise chain as a step function, by running it.

How a quantizer is written does not matter. A chain that rises or falls and takes few values is one.
Bisection finds, per channel, the exact number at which the value changes; these numbers contain
everything in the chain: batch normalisation, activation, the quantizer and all rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 16  # of 4 bits
_GRID = 65
_CHECKS = 257
_NOISE = 4e-7  # of the largest value: differences due to rounding
_NEAR = 8.0  # activations are rarely further from 0
_LEAST_POWER = -10  # of 2: the chain must be finite at least up to here
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


def position_of_float(x: NDArray[np.float32]) -> NDArray[np.int64]:
    """The position of each float32; inverse of :func:`float_of_position`."""
    magnitude = np.abs(x).view(np.int32).astype(np.int64)
    return np.where(x < 0, -magnitude, magnitude)


def find_float_steps(function: Function, channels: int) -> Steps | None:
    """Steps over all float32 for which the chain gives a number.

    Large inputs may give NaN, as x * x overflows and infinity * 0 is NaN. Values may differ by
    rounding, as in (sign - slope) + slope, the export of a straight-through gradient. None if
    the function takes more than 16 values.
    """

    def of_position(position: NDArray[np.int64]) -> NDArray[np.float64]:
        return function(float_of_position(position))

    powers = position_of_float(np.float32(2.0) ** np.arange(_LEAST_POWER, 128, dtype=np.float32))
    reach = np.concatenate([powers, [_LARGEST]])
    sound = [
        np.isfinite(of_position(np.tile(side * reach, (channels, 1)))).all(axis=0)
        for side in (-1, 1)
    ]
    counts = [int(np.argmin(np.append(side, False))) for side in sound]  # before the first NaN
    if min(counts) == 0:
        return None
    lowest, highest = (
        np.full(channels, side * reach[count - 1])
        for side, count in zip((-1, 1), counts, strict=True)
    )
    near = position_of_float(np.linspace(-_NEAR, _NEAR, 8 * _CHECKS, dtype=np.float32))
    ladder = np.concatenate([-powers[: counts[0]], powers[: counts[1]], near])
    probed = np.clip(ladder, lowest[:, None], highest[:, None])
    snapped = _snapped(of_position, of_position(probed))
    return find_steps(snapped, lowest, highest, probed)


def _snapped(
    function: Callable[[NDArray[np.int64]], NDArray[np.float64]], probed: NDArray[np.float64]
) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """The function with values that differ only by rounding replaced by the most common one.

    ``probed`` [channels, points] are sampled values, from which these groups are made.
    """
    if not np.isfinite(probed).all():
        return function
    rows = []
    for row in probed:
        values, counts = np.unique(row, return_counts=True)
        noise = _NOISE * float(np.abs(values).max())
        starts = np.nonzero(np.diff(values, prepend=-np.inf) > noise)[0]
        if len(starts) > MAX_VALUES:
            return function
        parts = zip(np.split(values, starts[1:]), np.split(counts, starts[1:]), strict=True)
        rows.append((noise, np.array([part[np.argmax(count)] for part, count in parts])))
    exact = all(np.isin(row, centres).all() for row, (_, centres) in zip(probed, rows, strict=True))
    if exact:
        return function

    def snapped(position: NDArray[np.int64]) -> NDArray[np.float64]:
        result = function(position)
        for row, (noise, centres) in zip(result, rows, strict=True):
            place = np.searchsorted((centres[1:] + centres[:-1]) / 2, row)
            near = np.abs(centres[place] - row) <= noise
            row[near] = centres[place][near]
        return result

    return snapped


def find_steps(
    function: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    lowest: NDArray[np.int64],
    highest: NDArray[np.int64],
    probed: NDArray[np.int64] | None = None,
) -> Steps | None:
    """Steps of ``function`` of positions [channels, points], between two for each channel.

    ``probed`` are positions to look at besides an even grid. None where it has more than 16
    values, is not monotone, or is no number somewhere.
    """
    share = np.linspace(0, 1, _GRID)
    span = (highest - lowest).astype(np.float64)
    grid = lowest[:, None] + np.floor(span[:, None] * share).astype(np.int64)
    grid[:, -1] = highest
    if (lowest < 0).any() and (highest > 0).any():
        grid = np.sort(np.concatenate([grid, _around_zero(lowest, highest)], axis=1), axis=1)
    if probed is not None:
        grid = np.sort(np.concatenate([grid, probed], axis=1), axis=1)
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
