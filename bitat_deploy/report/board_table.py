"""Several boards side by side."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bitat_deploy.device.bench_result import BaselineResult, BenchResult
from bitat_deploy.device.boards import Outcome
from bitat_deploy.report.formatting import duration, percentage


def board_table(outcomes: Sequence[Outcome]) -> RenderableType:
    """One row for each board, and below why one failed or why its times are not trustworthy."""
    table = Table(title="Boards", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("board", overflow="fold")
    for column in ("median", "p90", "top-1", "differing"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("times", no_wrap=True)
    notes = []
    for outcome in outcomes:
        name = outcome.board.name
        if outcome.result is None:
            table.add_row(escape(name), *["-"] * 4, "[bold red]failed[/bold red]")
            notes.append(Text(f"{name}: failed: {outcome.error}", style="red"))
            continue
        device = outcome.result.device
        board = Text.assemble(name, "\n", (device.board or device.cpu, "dim"))
        table.add_row(board, *_cells(outcome.result))
        for twin in outcome.result.baselines:
            notes.append(Text(f"{name}: {_twin(twin, outcome.result)}"))
        for reason in outcome.result.not_trustworthy:
            notes.append(Text(f"{name}: times not trustworthy: {reason}", style="yellow"))
    return Group(table, *notes)


def _twin(twin: BaselineResult, result: BenchResult) -> str:
    if twin.run is None:
        return f"the {twin.name} twin was not measured: {twin.failure}"
    ratio = twin.run.latency.headline / max(result.latency.headline, 1e-9)
    emulated = " (EMULATED)" if result.device.emulated else ""
    return f"the {twin.name} twin in {twin.runtime} takes {ratio:.2f} times as long{emulated}"


def _cells(result: BenchResult) -> list[str]:
    latency, accuracy = result.latency, result.accuracy
    if result.device.emulated:
        trust = "[red]EMULATED[/red]"
    else:
        trust = "[yellow]doubtful[/yellow]" if result.not_trustworthy else "[green]sound[/green]"
    return [
        duration(latency.p50),
        duration(latency.p90),
        percentage(accuracy.top1),
        f"{accuracy.differing_from_reference:,}",
        trust,
    ]
