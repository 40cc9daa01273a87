"""What tuning found, as a table for the terminal."""

import json
from collections.abc import Sequence
from typing import Protocol

from rich import box
from rich.markup import escape
from rich.table import Table

from bitat_deploy.compiler.record import DEFAULT, EMULATED, Record


class Summary(Protocol):
    """What of a tuned workload is shown; see tuning/summary.py."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that have it."""

    @property
    def tried(self) -> int:
        """Candidates."""

    @property
    def failed(self) -> int:
        """Candidates that were not right."""

    @property
    def best(self) -> Record | None:
        """The fastest."""


def tuning_table(summaries: Sequence[Summary]) -> Table:
    """One row for each distinct layer: what its fastest schedule is, and what it gains."""
    table = Table(title="Tuning", title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("layer", overflow="fold")
    for name in ("tried", "failed", "default", "best", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("fastest schedule", overflow="fold")
    for summary in summaries:
        best = summary.best
        table.add_row(
            escape(_layers(summary.layers)),
            str(summary.tried),
            str(summary.failed or "-"),
            *(("-", "-", "-", "-") if best is None else _result(best)),
        )
    if any(s.best is not None and s.best.source == EMULATED for s in summaries):
        table.caption = "EMULATED: these times are not those of hardware, and no build uses them."
    return table


def _layers(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more like it"


def _result(best: Record) -> tuple[str, str, str, str]:
    gain = f"{1 / best.ratio:.2f}x"
    return _time(best.reference, best.unit), _time(best.value, best.unit), gain, _schedule(best)


def _schedule(record: Record) -> str:
    if record.schedule == DEFAULT:
        return "the default"
    return escape(", ".join(f"{k} {v}" for k, v in json.loads(record.schedule).items()))


def _time(value: float, unit: str) -> str:
    return f"{value / 1000:.1f} us" if unit == "ns" else f"{value:,.0f} cycles"
