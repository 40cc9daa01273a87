"""Horizontal bars: beside the cells of a table, and as a picture that compares a few values."""

from collections.abc import Sequence

from markupsafe import Markup

from bitat_deploy.report.charts.svg import LETTER, WIDE, bar, line, picture, shortened, text


def share_bar(share: float, width: int = 80, quiet: bool = False) -> Markup:
    """One bar for a cell of a table; ``share`` of 1 fills the width."""
    length = width * min(max(share, 0.0), 1.0)
    style = "grey" if quiet else "fill"
    drawn = bar(0, 2, max(length, 1.0 if share > 0 else 0.0), 8, style)
    return picture(width, 12, [drawn], f"{share:.0%}", scale=False)


def bars(rows: Sequence[tuple[str, float, str]], width: int = WIDE, quiet: bool = False) -> Markup:
    """Named values from 0 on, the longest across the picture; each with a text at its end."""
    tall, gap = 20, 10
    left = 12 + LETTER * max(len(shortened(name, 24)) for name, _, _ in rows)
    right = 12 + LETTER * max(len(words) for _, _, words in rows)
    largest = max(value for _, value, _ in rows) or 1
    parts = []
    for index, (name, value, words) in enumerate(rows):
        y = index * (tall + gap) + 4
        length = max(width - left - right, 20) * value / largest
        parts.append(text(left - 8, y + tall / 2 + 4, shortened(name, 24), "end", ""))
        parts.append(bar(left, y, length, tall, "grey" if quiet or index else "fill"))
        parts.append(
            text(left + length + 6, y + tall / 2 + 4, words, "start", "quiet" if quiet else "")
        )
    height = len(rows) * (tall + gap) + 4
    parts.append(line(left, 0, left, height))
    return picture(width, height, parts, "Bars")
