"""The page of results, made from run reports alone."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison import (
    Comparison,
    Row,
    Table,
    Tuning,
    highest_rate,
    report_of,
)

_HEAD = """# Results of training

Made by `scripts/compare-methods` from the run reports in `docs/reports/training`; not by hand.
Top-1 is measured on all test images after the last epoch, on the integer network that runs on a
device (full precision: in floating point). Several seeds: mean, and lowest to highest in brackets.
Step times are of each run's fastest step and depend on the machine, which is named below.
"""

_CHECKS = """## Mathematical checks

Tests compute these anew; `scripts/test -k NAME` runs one.

| what | test |
|---|---|
| loss (1) is the measured output error of a layer | `test_loss_is_the_measured_output_error` |
| loss (4) is the measured error of a chain | `test_loss_is_the_measured_error_of_the_whole_chain` |
| descent never raises loss (1) | `tests/training/bitat/test_commit.py` |
| joint V beats block-diagonal V on two layers | `test_a_joint_basis_knows` |
| target (5) is the best answer to the layers below | `test_compensation_is_the_best` |
| UniQ's constants are MSE-optimal steps | `tests/training/test_uniq.py` |
"""


def results_page(comparisons: Sequence[Comparison], reports: Path) -> str:
    """Markdown for all comparisons; rows without a report are left out and counted."""
    parts = [_HEAD]
    for comparison in comparisons:
        parts += _section(comparison, reports)
    return "\n".join([*parts, _CHECKS])


def _section(comparison: Comparison, reports: Path) -> list[str]:
    runs = comparison.runs()
    found = [report for run in runs if (report := report_of(run, reports)) is not None]
    lines = [f"## {comparison.title}", "", comparison.text.strip(), ""]
    lines += [f"Tuning: {comparison.effort.strip()}", ""]
    missing = len(runs) - len(found)
    lines.append(
        f"{len(found)} of {len(runs)} runs are there."
        + (f" {missing} are missing: their rows or seeds are left out." if missing else "")
    )
    machines = sorted({_machine(report) for report in found})
    lines += [*([f"Trained on: {'; '.join(machines)}."] if machines else []), ""]
    for table in comparison.tables:
        lines += _table(comparison, table, reports)
    if comparison.findings:
        lines += ["### What they show", "", comparison.findings.strip(), ""]
    if comparison.tuning is not None:
        lines += _tuning(comparison, comparison.tuning, reports)
    return lines


def _table(comparison: Comparison, table: Table, reports: Path) -> list[str]:
    rows = []
    for row in table.rows:
        kept = [report_of(comparison.run(row, seed), reports) for seed in table.seeds]
        found = [report for report in kept if report is not None]
        if found:
            rows.append(_row(row, found, len(table.seeds)))
    if not rows:
        return []
    return [
        f"### {table.title}",
        "",
        "| | bits | top-1 [%] | seeds | epochs after the twin | step [ms] | training [min] |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _tuning(comparison: Comparison, tuning: Tuning, reports: Path) -> list[str]:
    """One line for each row that was tuned: what each rate reached, the one taken in bold."""
    lines = []
    for name, rates in tuning.rates.items():
        row = comparison.row(name)
        taken = highest_rate(comparison.run(row, tuning.seed).values)
        cells = []
        for rate in rates:
            report = report_of(comparison.run(row, tuning.seed, rate), reports)
            if report is not None:
                reached = f"{100 * report['stages'][-1]['validation_top1']:.2f}"
                cells.append(f"{rate:g}: {f'**{reached}**' if rate == taken else reached}")
        if cells:
            lines.append(f"| {row.title} | {', '.join(cells)} |")
    if not lines:
        return []
    return [
        "### Tuning",
        "",
        f"Top-1 [%] on the validation images after {tuning.epochs:g} of each stage's epochs (seed "
        f"{tuning.seed}), by the stages' highest learning rate. In bold the rate that the tables "
        "above were trained with.",
        "",
        "| | highest learning rate: top-1 |",
        "|---|---|",
        *lines,
        "",
    ]


def _row(row: Row, reports: list[dict[str, Any]], seeds: int) -> str:
    accuracy = [100 * report["accuracy"]["top1"] for report in reports]
    text = f"{statistics.mean(accuracy):.2f}"
    if len(accuracy) > 1:
        text += f" ({min(accuracy):.2f} to {max(accuracy):.2f})"
    recipe = reports[0]["recipe"]
    bits = "W{weight_bits}A{activation_bits}".format(**recipe["quantization"])
    if recipe["method"] == "full-precision":
        bits = "32"
    stages: dict[tuple[str, int], float] = {}
    for record in reports[0]["epochs"]:
        stages[record["stage"], 0] = record["epoch"]
    own = sum(epochs for (name, _), epochs in stages.items() if name != "full precision")
    fastest = min(record["fastest_step_seconds"] for r in reports for record in r["epochs"])
    minutes = statistics.mean(report["elapsed_seconds"] for report in reports) / 60
    count = f"{len(reports)}" if len(reports) == seeds else f"{len(reports)} of {seeds}"
    return (
        f"| {row.title} | {bits} | {text} | {count} | {own:.3g} | {1000 * fastest:.0f} "
        f"| {minutes:.1f} |"
    )


def _machine(report: dict[str, Any]) -> str:
    environment = report["environment"]
    threads = environment["threads"]
    return f"{environment['processor']}, {threads} thread{'s' if threads > 1 else ''} a run"
