"""A comparison as a table for the terminal."""

import math

from rich.console import RenderableType

from bitat_deploy.report.comparison import Change, Comparison, Unit, Verdict
from bitat_deploy.report.formatting import byte_size, duration, percentage
from bitat_deploy.report.sections import Cell, Column, Table, Tone
from bitat_deploy.report.terminal import terminal_table

_TONES = {
    Verdict.BETTER: Tone.GOOD,
    Verdict.SAME: Tone.PLAIN,
    Verdict.WORSE: Tone.BAD,
    Verdict.NOT_JUDGED: Tone.QUIET,
}


def comparison_table(comparison: Comparison, names: tuple[str, str]) -> RenderableType:
    """One row for each change, ``names`` above the two columns, the warnings below."""
    columns = [
        Column("what"),
        *(Column(name, number=True, fold=True) for name in names),
        Column("change (99% interval)", number=True),
        Column("verdict"),
    ]
    rows = [
        [Cell(text, _TONES[change.verdict]) for text in _row(change)]
        for change in comparison.changes
    ]
    warnings = [Cell(f"Warning: {warning}", Tone.DOUBTFUL) for warning in comparison.warnings]
    return terminal_table(Table("Comparison", columns, rows, warnings))


def format_change(change: Change) -> str:
    """The difference of accuracies and counts; of everything else the relative change."""
    difference = change.after - change.before
    if difference == 0:
        return "none"
    if change.unit is Unit.FRACTION:
        return f"{100 * difference:+.2f} points"
    if change.unit is Unit.IMAGES or not math.isfinite(change.relative):
        return f"{difference:+,.0f}"
    return f"{change.relative:+.1%}"


def _row(change: Change) -> tuple[str, ...]:
    judged = change.verdict is not Verdict.NOT_JUDGED
    return (
        change.what,
        _value(change.before, change.unit),
        _value(change.after, change.unit),
        format_change(change) + _interval(change),
        change.verdict.value if judged else change.basis,
    )


def _value(value: float, unit: Unit) -> str:
    if unit is Unit.MILLISECONDS:
        return duration(value)
    if unit is Unit.BYTES:
        return byte_size(value)
    return percentage(value) if unit is Unit.FRACTION else f"{value:,.0f}"


def _interval(change: Change) -> str:
    if change.interval is None:
        return ""
    low, high = (100 * end for end in change.interval)
    return f" ({low:+.1f}, {high:+.1f})"
