"""Pieces of inline SVG. Unlike CSS backgrounds, SVG is printed by every browser.

Colours are classes of ``theme.css``, so that a picture follows the page's light or dark theme.
"""

import functools
from collections.abc import Callable, Sequence
from importlib import resources

import numpy as np
from markupsafe import Markup, escape

# Of a letter of the page's font at the size of the pictures' texts, in pixels.
LETTER = 6.6


def bar(x: float, y: float, width: float, height: float, style: str = "fill") -> Markup:
    """A filled rectangle; one that is not empty is wide enough to be seen."""
    return Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.2f}" height="{:.2f}" class="{}"/>').format(
        x, y, max(width, 0.5) if width else 0, height, style
    )


def line(x1: float, y1: float, x2: float, y2: float, style: str = "axis") -> Markup:
    """A straight line."""
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(
        x1, y1, x2, y2, style
    )


def text(x: float, y: float, words: str, anchor: str = "start", style: str = "quiet") -> Markup:
    """Words that start, end or have their middle at ``x``; ``y`` is their base line."""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(
        x, y, anchor, style, words
    )


def picture(
    width: float, height: float, parts: Sequence[Markup], title: str, scale: bool = True
) -> Markup:
    """``scale``: shrinks with the page; otherwise keeps its size."""
    size = Markup('style="width:100%;max-width:{:.0f}px"') if scale else Markup('width="{:.0f}"')
    return Markup(
        '<svg class="chart" viewBox="0 0 {0:.0f} {1:.0f}" {2} role="img" aria-label="{3}">{4}</svg>'
    ).format(width, height, size.format(width), escape(title), Markup("").join(parts))


# A page holds each picture twice and shows the one that fits: text keeps its size on a phone.
WIDE, NARROW = 860, 350


def for_both_widths(draw: Callable[[int], Markup]) -> Markup:
    """What ``draw`` draws for a wide page and for a phone."""
    both = Markup('<div class="on-wide">{}</div><div class="on-narrow">{}</div>')
    return both.format(draw(WIDE), draw(NARROW))


def stand_alone(drawn: Markup) -> str:
    """A picture as the content of an SVG file, with the theme in it."""
    head, _, rest = str(drawn).removeprefix('<svg class="chart"').partition(">")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart alone"{head}>'
        f"<style>{theme()}</style>{rest}\n"
    )


@functools.cache
def theme() -> Markup:
    """The colours of pages and pictures, light and dark: CSS."""
    path = resources.files("bitat_deploy.report").joinpath("theme.css")
    return Markup(path.read_text("utf-8"))  # noqa: S704 - our own file


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``."""
    raw = (high - low) / count
    scale = 10.0 ** np.floor(np.log10(raw))
    step = float(scale * next(nice for nice in (1, 2, 5, 10) if nice * scale >= raw * (1 - 1e-9)))
    first = int(np.ceil(low / step))
    return [float(f"{k * step:.12g}") for k in range(first, first + 2 * count) if k * step <= high]


def shortened(name: str, length: int = 16) -> str:
    """``name`` in at most ``length`` letters."""
    return name if len(name) <= length else f"{name[: length - 1]}…"
