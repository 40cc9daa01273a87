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


@dataclass(frozen=True)
class Facts(_Part):
    """Rows of what and value."""

    title: str
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Column(_Part):
    """A column of a table.

    Numbers are aligned to the right; ``fold`` allows line breaks within a cell. ``bars``, shares of
    1 by row, are drawn beside the cells in HTML. The terminal leaves ``pages_only`` columns out.
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
    """Distribution of ``samples`` in milliseconds with named ``marks``; for HTML only."""

    title: str
    samples: Sequence[float]
    marks: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Matrix(_Part):
    """Counts by true class (row) and predicted class (column); for HTML only."""

    title: str
    names: Sequence[str]
    counts: Sequence[Sequence[int]]


Section = Facts | Table | Histogram | Matrix


@dataclass(frozen=True)
class Report(_Part):
    """All that a report shows; ``figures`` are the few (value, what) to see first."""

    title: str
    subtitle: str
    banner: Banner | None
    figures: Sequence[tuple[str, str]]
    sections: Sequence[Section]


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return foreign_text(value, _LIMIT)
    return tuple(map(_cleaned, value)) if isinstance(value, list | tuple) else value
