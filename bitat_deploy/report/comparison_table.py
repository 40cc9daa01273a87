"""A comparison as a table for the terminal."""

import math

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bitat_deploy.report.comparison import Change, Comparison, Unit, Verdict
from bitat_deploy.report.formatting import byte_size, duration, percentage

_STYLES = {
    Verdict.BETTER: "green",
    Verdict.SAME: "",
    Verdict.WORSE: "bold red",
    Verdict.NOT_JUDGED: "dim",
}


def comparison_table(comparison: Comparison, names: tuple[str, str]) -> RenderableType:
    """One row for each change, ``names`` above the two columns, the warnings above all."""
    table = Table(title="Comparison", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what", no_wrap=True)
    for name in names:
        table.add_column(escape(name), justify="right", overflow="fold", min_width=9)
    table.add_column("change (99% interval)", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for change in comparison.changes:
        table.add_row(
            change.what,
            format_value(change.before, change.unit),
            format_value(change.after, change.unit),
            format_change(change) + _interval(change),
            change.basis if change.verdict is Verdict.NOT_JUDGED else change.verdict.value,
            style=_STYLES[change.verdict],
        )
    warnings = [Text(f"Warning: {warning}", style="yellow") for warning in comparison.warnings]
    return Group(*warnings, table)


def format_value(value: float, unit: Unit) -> str:
    """A value in its unit."""
    if unit is Unit.MILLISECONDS:
        return duration(value)
    if unit is Unit.BYTES:
        return byte_size(value)
    return percentage(value) if unit is Unit.FRACTION else f"{value:,.0f}"


def format_change(change: Change) -> str:
    """What is added, for accuracy and counts; otherwise the share by which it grew."""
    difference = change.after - change.before
    if difference == 0:
        return "none"
    if change.unit is Unit.FRACTION:
        return f"{100 * difference:+.2f} points"
    if change.unit is Unit.IMAGES or not math.isfinite(change.relative):
        return f"{difference:+,.0f}"
    return f"{change.relative:+.1%}"


def _interval(change: Change) -> str:
    if change.interval is None:
        return ""
    low, high = (100 * end for end in change.interval)
    return f" ({low:+.1f}, {high:+.1f})"
