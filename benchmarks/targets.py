"""What training was to reach, and what it did: targets.yaml and the kept reports."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparison import Comparison, report_of
from benchmarks.results_page import mean_and_range
from bitat_deploy.errors import InputError
from bitat_deploy.plain_values import build_record
from bitat_deploy.yaml_file import read_yaml


@dataclass(frozen=True)
class Source:
    """Where accuracies stand, one for each seed: one of these.

    ``report``: a run's own, by its path in the repository. ``row``: COMPARISON/ROW of a table.
    ``rounding``: a file of scripts/compare-rounding, and in it ``way``, such as w1a8-nearest;
    without, the network before quantization.
    """

    report: str | None = None
    row: str | None = None
    rounding: str | None = None
    way: str | None = None


@dataclass(frozen=True)
class Target:
    """``aim`` in percent: of ``of``, or where ``less`` is given in points above that one.

    ``reason``: why it is missed, with its measurement; or what else is to be known.
    """

    what: str
    aim: float
    of: Source
    less: Source | None = None
    reason: str = ""


@dataclass(frozen=True)
class _Targets:
    text: str
    targets: tuple[Target, ...]


def targets_section(path: Path, root: Path, comparisons: Mapping[str, Comparison]) -> list[str]:
    """Lines of Markdown. ``root`` is the repository's. Raises InputError."""
    values = build_record(_Targets, read_yaml(path), path.stem)
    lines = ["## Targets", "", values.text.strip(), ""]
    lines += ["| | aim | reached | seeds | | why, and what to know |", "|---|---|---|---|---|---|"]
    for target in values.targets:
        lines.append(_line(target, root, comparisons))
    return [*lines, ""]


def _line(target: Target, root: Path, comparisons: Mapping[str, Comparison]) -> str:
    reached = _accuracies(target.of, root, comparisons)
    unit = "%"
    if target.less is not None:
        base = _accuracies(target.less, root, comparisons)
        reached = {seed: reached[seed] - base[seed] for seed in reached if seed in base}
        unit = "points"
    aim = f"{target.aim:.4g} {unit}"
    reason = " ".join(target.reason.split())
    if not reached:
        return f"| {target.what} | {aim} | not measured | | | {reason} |"
    text = mean_and_range(list(reached.values()))
    judged = "reached" if statistics.mean(reached.values()) >= target.aim else "**missed**"
    return f"| {target.what} | {aim} | {text} | {len(reached)} | {judged} | {reason} |"


def _accuracies(
    source: Source, root: Path, comparisons: Mapping[str, Comparison]
) -> dict[int, float]:
    """Percent of the test images, by seed; none where nothing was measured yet."""
    if source.row is not None:
        name, _, row = source.row.partition("/")
        return _of_row(comparisons[name], row, root / "docs" / "reports" / "training")
    file = source.report or source.rounding
    if file is None:
        raise InputError("targets: a source has neither report, row nor rounding")
    if not (root / file).is_file():
        return {}
    document: dict[str, Any] = json.loads((root / file).read_text())
    if source.report is not None:
        return {document["seed"]: 100 * document["accuracy"]["top1"]}
    if source.way is None:
        return {row["seed"]: 100 * document["reference"] for row in document["rows"]}
    return {
        row["seed"]: 100 * row["top1"]
        for row in document["rows"]
        if f"w{row['weights']}a{row['activations']}-{row['method']}" == source.way
    }


def _of_row(comparison: Comparison, name: str, reports: Path) -> dict[int, float]:
    row = comparison.row(name)
    seeds = {seed for table in comparison.tables if row in table.rows for seed in table.seeds}
    kept = {seed: report_of(comparison.run(row, seed), reports) for seed in sorted(seeds)}
    return {seed: 100 * report["accuracy"]["top1"] for seed, report in kept.items() if report}
