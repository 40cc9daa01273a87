"""A confusion matrix."""

from collections.abc import Sequence

from markupsafe import Markup

from bitat_deploy.report.charts.svg import LETTER, WIDE, picture, shortened, text

_SMALLEST_WITH_NUMBER = 24  # pixels of a cell
_SMALL = 36


def confusion_matrix(
    names: Sequence[str], matrix: Sequence[Sequence[int]], width: int = WIDE
) -> Markup:
    """True classes downwards, predicted classes across; the darker, the more images."""
    length = 16 if width >= WIDE else 9
    left, top = length * LETTER + 16, 96
    cell = min(52.0, (width - left - (30 if width >= WIDE else 4)) / len(names))
    largest = max((count for row in matrix for count in row), default=0) or 1
    parts = []
    for i, (name, row) in enumerate(zip(names, matrix, strict=True)):
        middle = cell * (i + 0.5)
        label = shortened(name, length)
        parts.append(text(left - 8, top + middle + 4, label, "end", ""))
        place = f"translate({left + middle + 4:.1f} {top - 8}) rotate(-55)"
        parts.append(
            Markup('<g transform="{}">{}</g>').format(place, text(0, 0, label, "start", ""))
        )
        for j, count in enumerate(row):
            parts.append(_cell(left + cell * j, top + cell * i, cell - 1, count, count / largest))
    parts.append(text(4, 14, "downwards: true class"))
    parts.append(text(4, 30, "across: prediction"))
    size = cell * len(names)
    wide = max(left + size + 40, width if width < WIDE else 0)
    return picture(wide, top + size + 2, parts, "Confusion matrix")


def _cell(x: float, y: float, size: float, count: int, share: float) -> Markup:
    square = Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="cell" '
        'fill-opacity="{:.3f}"/>'
    ).format(x, y, size, size, share**0.7)
    if size < _SMALLEST_WITH_NUMBER or not count:
        return square
    style = f"{'on-fill' if share > 0.5 else ''} {'small' if size < _SMALL else ''}".strip()
    return square + text(x + size / 2, y + size / 2 + 4, f"{count}", "middle", style)
