"""The distribution of single runs."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray

from bitat_deploy.report.charts.svg import LETTER, WIDE, bar, line, picture, text, ticks

_BASE = 40  # from the axis down to the picture's end


def histogram(
    samples: ArrayLike, marks: Sequence[tuple[str, float]], width: int = WIDE, quiet: bool = False
) -> Markup:
    """Distribution of ``samples`` in milliseconds, with labelled vertical ``marks``.

    The axis ends at the 99th percentile, or earlier if the slow runs are far off: interrupted runs
    would squeeze all others into one bar. A note counts the runs beyond the axis. ``quiet``: grey.
    """
    values = np.asarray(samples, dtype=np.float64)
    counts, edges, beyond = _bins(values, 60 if width >= WIDE else 30)
    height, top, left, right = 250, 34, 44, 24
    end, base = width - right, height - _BASE

    def x(value: float) -> float:
        return left + (end - left) * (value - edges[0]) / (edges[-1] - edges[0])

    parts = []
    style = "grey" if quiet else "fill"
    for count, first, last in zip(counts, edges[:-1], edges[1:], strict=True):
        tall = (base - top) * count / max(counts.max(), 1)
        parts.append(bar(x(first), base - tall, x(last) - x(first) - 1, tall, style))
    parts.append(line(left, base, end, base))
    for tick in ticks(edges[0], edges[-1], 6 if width >= WIDE else 3):
        parts.append(line(x(tick), base, x(tick), base + 4))
        parts.append(text(x(tick), base + 18, f"{tick:g}", "middle"))
    parts.append(text(end, height - 4, "milliseconds", "end"))
    parts.append(text(left - 8, top + 10, f"{counts.max():,}", "end"))
    parts.append(text(left - 8, base, "0", "end"))
    parts += _marks([(name, x(value)) for name, value in marks if value <= edges[-1]], top, base)
    if beyond:
        note = f"{beyond:,} of {len(values):,} runs shown took longer, up to {values.max():.3g} ms"
        if len(note) * LETTER > width - 130:
            note = f"{beyond:,} longer, up to {values.max():.3g} ms"
        parts.append(text(left, height - 4, note))
    return picture(width, height, parts, "Histogram of the latency")


def _bins(
    values: NDArray[np.float64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    low, high = float(values.min()), float(min(p99, p50 + 3 * (p90 - p50)))
    if high <= low:
        low, high = low * 0.99, max(high * 1.01, low + 1e-6)
    inside = values[values <= high]
    # Freedman and Diaconis's width, within what can be read.
    spread = float(np.subtract(*np.percentile(inside, [75, 25])))
    width = 2 * spread / len(inside) ** (1 / 3)
    bins = int(np.clip((high - low) / width, 24, most)) if width > 0 else 30
    counts, edges = np.histogram(inside, bins, (low, high))
    return counts, edges, len(values) - len(inside)


def _marks(places: Sequence[tuple[str, float]], top: float, base: float) -> list[Markup]:
    """Labels that would overlap are joined by a comma."""
    groups: list[tuple[str, float]] = []
    parts = []
    for name, x in places:
        parts.append(line(x, top - 8, x, base, "mark"))
        if groups and x - groups[-1][1] < 30:
            groups[-1] = (f"{groups[-1][0]}, {name}", groups[-1][1])
        else:
            groups.append((name, x))
    parts += [text(x, top - 14, name, "middle", "") for name, x in groups]
    return parts
