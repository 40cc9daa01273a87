"""Small charts as inline SVG. Unlike CSS backgrounds, SVG is printed by every browser."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike, NDArray

_WIDTH = 860
_BLUE, _GREY, _RULE, _INK = "#2f5d8a", "#6b7280", "#d5d9de", "#1c1f23"


def histogram(samples: ArrayLike, marks: Sequence[tuple[str, float]]) -> Markup:
    """Distribution of ``samples`` in milliseconds, with labelled vertical ``marks``.

    The axis ends at the 99th percentile, or earlier if the slow runs are far off: interrupted runs
    would squeeze all others into one bar. A note counts the runs beyond the axis.
    """
    values = np.asarray(samples, dtype=np.float64)
    counts, edges, beyond = _bins(values)
    height, top, left, bottom = 250, 34, 44, 40
    plot_width, plot_height = _WIDTH - left - 16, height - top - bottom

    def x(value: float) -> float:
        return left + plot_width * (value - edges[0]) / (edges[-1] - edges[0])

    parts = []
    for count, start, end in zip(counts, edges[:-1], edges[1:], strict=True):
        tall = plot_height * count / max(counts.max(), 1)
        parts.append(_bar(x(start), top + plot_height - tall, x(end) - x(start) - 1, tall))
    parts.append(_line(left, top + plot_height, _WIDTH - 16, top + plot_height, _GREY))
    for tick in _ticks(edges[0], edges[-1]):
        parts.append(_line(x(tick), top + plot_height, x(tick), top + plot_height + 4, _GREY))
        parts.append(_text(x(tick), top + plot_height + 18, f"{tick:g}", "middle", _GREY))
    parts.append(_text(_WIDTH - 16, height - 4, "milliseconds", "end", _GREY))
    parts.append(_text(left - 8, top + 10, f"{counts.max():,}", "end", _GREY))
    parts.append(_text(left - 8, top + plot_height, "0", "end", _GREY))
    parts += _marks([(name, x(value)) for name, value in marks if value <= edges[-1]], top, height)
    if beyond:
        note = f"{beyond:,} of {len(values):,} runs shown took longer, up to {values.max():.3g} ms"
        parts.append(_text(left, height - 4, note, "start", _GREY))
    return _svg(_WIDTH, height, parts, "Histogram of the latency")


def bar(share: float, width: int = 160) -> Markup:
    """One horizontal bar for a cell of a table; ``share`` of 1 fills the width."""
    length = width * min(max(share, 0.0), 1.0)
    drawn = _bar(0, 2, max(length, 1.0 if share > 0 else 0.0), 8)
    return _svg(width, 12, [drawn], f"{share:.0%}", scale=False)


def confusion_matrix(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> Markup:
    """True classes downwards, predicted classes across; the darker, the more images."""
    left, top, cell = 120, 96, min(52.0, (_WIDTH - 140) / len(names))
    largest = max((count for row in matrix for count in row), default=0) or 1
    parts = []
    for i, (name, row) in enumerate(zip(names, matrix, strict=True)):
        middle = cell * (i + 0.5)
        parts.append(_text(left - 8, top + middle + 4, _short(name), "end", _INK))
        place = f"translate({left + middle + 4:.1f} {top - 8}) rotate(-40)"
        parts.append(Markup('<g transform="{}">{}</g>').format(place, _text(0, 0, _short(name))))
        for j, count in enumerate(row):
            x, y = left + cell * j, top + cell * i
            parts.append(_cell(x, y, cell - 1, count / largest, f"{count:,}" if count else ""))
    parts.append(_text(left - 8, top - 8, "true ↓  predicted →", "end", _GREY))
    size = cell * len(names)
    return _svg(left + size + 70, top + size + 2, parts, "Confusion matrix")


def _bins(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    low, high = float(values.min()), float(min(p99, p50 + 3 * (p90 - p50)))
    if high <= low:
        low, high = low * 0.99, max(high * 1.01, low + 1e-6)
    inside = values[values <= high]
    # Freedman and Diaconis's width, within what can be read.
    spread = float(np.subtract(*np.percentile(inside, [75, 25])))
    width = 2 * spread / len(inside) ** (1 / 3)
    bins = int(np.clip((high - low) / width, 24, 60)) if width > 0 else 30
    counts, edges = np.histogram(inside, bins, (low, high))
    return counts, edges, len(values) - len(inside)


def _ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 6
    scale = 10.0 ** np.floor(np.log10(raw))
    step = float(scale * next(nice for nice in (1, 2, 5, 10) if nice * scale >= raw))
    first = int(np.ceil(low / step))
    return [float(f"{k * step:.12g}") for k in range(first, first + 12) if k * step <= high]


def _marks(places: Sequence[tuple[str, float]], top: float, height: float) -> list[Markup]:
    """Labels that would overlap are joined by a comma."""
    groups: list[tuple[str, float]] = []
    parts = []
    for name, x in places:
        parts.append(_line(x, top - 8, x, height - 40, _INK, "4 3"))
        if groups and x - groups[-1][1] < 30:
            groups[-1] = (f"{groups[-1][0]}, {name}", groups[-1][1])
        else:
            groups.append((name, x))
    for name, x in groups:
        anchor = "end" if x > _WIDTH - 60 else "middle"
        parts.append(_text(x, top - 14, name, anchor, _INK))
    return parts


def _cell(x: float, y: float, size: float, share: float, label: str) -> Markup:
    color = "#ffffff" if share > 0.5 else _INK
    square = Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}" '
        'fill-opacity="{:.3f}" stroke="{}" stroke-width="0.5"/>'
    ).format(x, y, size, size, _BLUE, share**0.7, _RULE)
    if size < 24:
        return square
    return square + _text(x + size / 2, y + size / 2 + 4, label, "middle", color)


def _short(name: str, length: int = 16) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _bar(x: float, y: float, width: float, height: float) -> Markup:
    return Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.2f}" height="{:.2f}" fill="{}"/>').format(
        x, y, max(width, 0.5) if width else 0, height, _BLUE
    )


def _line(x1: float, y1: float, x2: float, y2: float, color: str, dashes: str = "none") -> Markup:
    return Markup(
        '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}" stroke-dasharray="{}"/>'
    ).format(x1, y1, x2, y2, color, dashes)


def _text(x: float, y: float, text: str, anchor: str = "start", color: str = _INK) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}">{}</text>').format(
        x, y, anchor, color, text
    )


def _svg(
    width: float, height: float, parts: Sequence[Markup], title: str, scale: bool = True
) -> Markup:
    """``scale``: shrinks with the page; otherwise keeps its size."""
    size = Markup('style="width:100%;max-width:{:.0f}px"') if scale else Markup('width="{:.0f}"')
    return Markup(
        '<svg viewBox="0 0 {0:.0f} {1:.0f}" {2} role="img" aria-label="{3}">{4}</svg>'
    ).format(width, height, size.format(width), escape(title), Markup("").join(parts))
