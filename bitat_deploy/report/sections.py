"""The parts of a report, independent of the format that shows them.

Strings are cleaned when a part is made: whatever a device or a file says, no renderer receives a
control character or an endless line.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from bitat_deploy.plain_text import foreign_text

# In characters: enough for a sentence that quotes an error message.
_LIMIT = 600


class Tone(enum.Enum):
    """How to colour a text."""

    PLAIN = "plain"
    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"
    QUIET = "quiet"
    STRONG = "strong"


class _Part:
    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, field.name, _cleaned(getattr(self, field.name)))


@dataclass(frozen=True)
class Cell(_Part):
    """A coloured text in a table, or below it."""

    text: str
    tone: Tone

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Banner(_Part):
    """A warning above everything else."""

    title: str
    sentence: str
    tone: Tone
    reasons: tuple[str, ...] = ()
    remedy: str = ""

    def about(self, name: str) -> list[str]:
        """The warning as lines about ``name``, for a note below a table."""
        lines = [f"{name} is {self.title}: {reason}" for reason in self.reasons]
        return lines or [f"{name} is {self.title}. {self.sentence}"]


def banner_of_times(
    emulated: bool, reasons: Sequence[str], sentences: tuple[str, str], remedy: str = ""
) -> Banner | None:
    """Why measured times are not to be trusted; None if nothing is known against them.

    ``sentences`` say what follows from it: on an emulated device, and with ``reasons``.
    """
    if emulated:  # other reasons do not matter then
        return Banner("EMULATED", sentences[0], Tone.BAD)
    if not reasons:
        return None
    return Banner("NOT TRUSTWORTHY", sentences[1], Tone.DOUBTFUL, tuple(reasons), remedy)


@dataclass(frozen=True)
class Fact(_Part):
    """One row of what and value; the terminal shows those that are not ``brief`` on request."""

    what: str
    value: str
    brief: bool = False
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Facts(_Part):
    """Rows of what and value."""

    title: str
    rows: Sequence[Fact]


@dataclass(frozen=True)
class Column(_Part):
    """A column of a table.

    Numbers are aligned to the right; ``fold`` allows line breaks within a cell. ``bars``, shares of
    1 by row, are drawn beside the cells in HTML. The terminal and a page on a phone leave
    ``pages_only`` columns out.
    """

    name: str
    number: bool = False
    fold: bool = False
    bars: tuple[float, ...] = ()
    pages_only: bool = False


@dataclass(frozen=True)
class Table(_Part):
    """Cells under named columns; the terminal leaves ``pages_only`` tables out."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Cell]]
    notes: Sequence[str | Cell] = ()
    pages_only: bool = False


@dataclass(frozen=True)
class Histogram(_Part):
    """Distribution of ``samples`` in milliseconds with named ``marks``; for HTML only.

    ``quiet``: in grey, as of an emulated device.
    """

    title: str
    samples: Sequence[float]
    marks: Sequence[tuple[str, float]]
    quiet: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Bars(_Part):
    """Rows of (name, value, text at the bar's end); the first one's bar is coloured. HTML only."""

    title: str
    rows: Sequence[tuple[str, float, str]]
    quiet: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Axis(_Part):
    """``name`` includes the unit; the values of a ``percent`` axis are fractions of 1."""

    name: str
    percent: bool = False
    logarithmic: bool = False


@dataclass(frozen=True)
class Point(_Part):
    """One point with whiskers over its intervals.

    ``mark`` is a short name that stands beside it, ``text`` is shown when it is pointed at.
    """

    x: float
    y: float
    x_interval: tuple[float, float] | None = None
    y_interval: tuple[float, float] | None = None
    mark: str = ""
    text: str = ""


@dataclass(frozen=True)
class Series(_Part):
    """Points of one colour and shape."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Points(_Part):
    """Points in a plane, such as networks by latency and accuracy; for HTML only.

    ``front`` is a line through (x, y); ``limits`` are named vertical lines, such as a budget.
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    front: Sequence[tuple[float, float]] = ()
    limits: Sequence[tuple[str, float]] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Gallery(_Part):
    """Pictures (content of JPEG or PNG files) with a caption below each; for HTML only."""

    title: str
    pictures: Sequence[tuple[bytes, str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Matrix(_Part):
    """Counts by true class (row) and predicted class (column); for HTML only."""

    title: str
    names: Sequence[str]
    counts: Sequence[Sequence[int]]
    notes: Sequence[str] = ()


Section = Facts | Table | Histogram | Matrix | Bars | Points | Gallery


@dataclass(frozen=True)
class Report(_Part):
    """All that a report shows; ``figures`` are the few (value, what) to see first.

    ``more`` tells a reader at a terminal how to see what is left out there.
    """

    title: str
    subtitle: str
    banner: Banner | None
    figures: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    more: str = ""


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return foreign_text(value, _LIMIT)
    return tuple(map(_cleaned, value)) if isinstance(value, list | tuple) else value
