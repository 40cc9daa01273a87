"""Points in a plane, such as networks by latency and accuracy."""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from bitat_deploy.report.charts.svg import LETTER, WIDE, line, picture, shortened, text, ticks
from bitat_deploy.report.sections import Axis, Point, Points

_LEFT, _RIGHT, _BOTTOM = 50, 22, 46
_LEGEND_LINE = 20
_COLOURS = 7  # s0 to s6 in theme.css
_RADIUS = 5

_Scale = Callable[[float], float]


def points_chart(points: Points, width: int = WIDE) -> Markup:
    """Each series in a colour and a shape of its own, with whiskers, the front and the limits."""
    places, legend_height = _legend_places([series.name for series in points.series], width)
    top = legend_height + 18
    base = top + (380 if width >= WIDE else 300)
    count = 6 if width >= WIDE else 4
    limits = [value for _, value in points.limits]
    x, x_ticks = _axis(points.x, [*_reach(points, 0), *limits], _LEFT, width - _RIGHT, count)
    y, y_ticks = _axis(points.y, _reach(points, 1), base, top, 6)
    parts = []
    for value, label in y_ticks:
        parts.append(line(_LEFT, y(value), width - _RIGHT, y(value), "grid"))
        parts.append(text(_LEFT - 6, y(value) + 4, label, "end"))
    for value, label in x_ticks:
        parts.append(line(x(value), base, x(value), base + 4))
        parts.append(text(x(value), base + 18, label, "middle"))
    parts.append(line(_LEFT, base, width - _RIGHT, base))
    parts.append(text(width - _RIGHT, base + 38, points.x.name, "end"))
    parts.append(text(_LEFT - 44, top - 12, points.y.name))
    for words, value in points.limits:
        parts.append(line(x(value), top, x(value), base, "limit"))
        anchor, gap = ("end", -6) if x(value) > width / 2 else ("start", 6)
        parts.append(text(x(value) + gap, base - 8, words, anchor, "limit"))
    if len(points.front) > 1:
        corners = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points.front)
        parts.append(Markup('<polyline points="{}" class="front"/>').format(corners))
    for index, series in enumerate(points.series):
        parts += [_point(point, x, y, index) for point in series.points]
    for index, (series, (left, row)) in enumerate(zip(points.series, places, strict=True)):
        parts.append(_shape(left + _RADIUS, 10 + row * _LEGEND_LINE, index))
        name = shortened(series.name, 40)
        parts.append(text(left + 16, 14 + row * _LEGEND_LINE, name, "start", ""))
    return picture(width, base + _BOTTOM, parts, points.title)


def _reach(points: Points, axis: int) -> list[float]:
    """All values on an axis, the ends of whiskers included."""
    found = []
    for point in (point for series in points.series for point in series.points):
        interval = (point.x_interval, point.y_interval)[axis]
        found += [(point.x, point.y)[axis], *(interval or ())]
    return found


def _axis(
    axis: Axis, values: Sequence[float], start: float, end: float, count: int
) -> tuple[_Scale, list[tuple[float, str]]]:
    """The place of a value between ``start`` and ``end``, and the labelled round values."""
    sound = [value for value in values if not axis.logarithmic or value > 0] or [1.0]
    low, high = min(sound), max(sound)
    if axis.logarithmic:
        low, high = math.log(low), math.log(high)
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 0.1
    low, high = low - margin, high + margin
    if axis.percent:
        low, high = max(low, 0.0), min(high, 1.0)

    def place(value: float) -> float:
        along = math.log(max(value, 1e-300)) if axis.logarithmic else value
        return start + (end - start) * min(max((along - low) / (high - low), 0.0), 1.0)

    if axis.logarithmic:
        return place, [(value, f"{value:g}") for value in _logarithmic(low, high, count)]
    if axis.percent:
        return place, [(v, f"{100 * v:g} %") for v in ticks(low, high, count)]
    return place, [(value, f"{value:g}") for value in ticks(low, high, count)]


def _logarithmic(low: float, high: float, count: int) -> list[float]:
    """Round values between e^``low`` and e^``high``."""
    first, last = math.exp(low), math.exp(high)
    decades = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [k * 10.0**d for d in decades for k in steps if first <= k * 10.0**d <= last]
        if len(found) <= 1.5 * count:
            break
    if len(found) < 2:
        return ticks(first, last, count)
    return [float(f"{value:.12g}") for value in found[:: max(1, len(found) // (2 * count))]]


def _point(point: Point, x: _Scale, y: _Scale, series: int) -> Markup:
    across, up = x(point.x), y(point.y)
    parts = []
    if point.x_interval:
        parts.append(
            line(x(point.x_interval[0]), up, x(point.x_interval[1]), up, f"s{_of(series)}")
        )
    if point.y_interval:
        low, high = map(y, point.y_interval)
        parts.append(line(across, low, across, high, f"s{_of(series)}"))
    parts.append(_shape(across, up, series))
    if point.mark:
        parts.append(text(across + 8, up - 8, shortened(point.mark, 12), "start", ""))
    told = Markup("<title>{}</title>").format(point.text) if point.text else Markup("")
    return Markup("<g>{}{}</g>").format(told, Markup("").join(parts))


def _shape(x: float, y: float, series: int) -> Markup:
    r = _RADIUS
    corners = (
        None,
        ((-r, -r), (r, -r), (r, r), (-r, r)),
        ((0, -1.3 * r), (1.2 * r, r), (-1.2 * r, r)),
        ((0, -1.4 * r), (1.4 * r, 0), (0, 1.4 * r), (-1.4 * r, 0)),
        ((-1.2 * r, -r), (1.2 * r, -r), (0, 1.3 * r)),
    )[series % 5]
    if corners is None:
        circle = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="s{}"/>')
        return circle.format(x, y, r, _of(series))
    path = " ".join(f"{x + a:.1f},{y + b:.1f}" for a, b in corners)
    return Markup('<polygon points="{}" class="s{}"/>').format(path, _of(series))


def _of(series: int) -> int:
    return series % _COLOURS


def _legend_places(names: Sequence[str], width: int) -> tuple[list[tuple[float, int]], int]:
    """The left end and the row of each name, and the height of all rows."""
    places, left, row = [], 8.0, 0
    for name in names:
        long = 34 + LETTER * len(shortened(name, 40))
        if left + long > width and left > 8:
            left, row = 8.0, row + 1
        places.append((left, row))
        left += long
    return places, (row + 1) * _LEGEND_LINE + 14
