"""The results page's section on quantizing without labels: rounding.yaml and the kept reports."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results_page import mean_and_range
from benchmarks.rounding import TITLES, table
from bitat_deploy.errors import InputError
from bitat_deploy.plain_values import build_record
from bitat_deploy.yaml_file import read_yaml

RIVALS = ("nearest", "adaround", "gptq")
OURS = "stream"
ABLATION = "without-v"


@dataclass(frozen=True)
class Measured:
    """A file of scripts/compare-rounding, by its path in the repository."""

    title: str
    report: str
    text: str = ""


@dataclass(frozen=True)
class Shape:
    """Networks of one shape: a file for each seed of their training."""

    title: str
    reports: tuple[str, ...]


@dataclass(frozen=True)
class _Roundings:
    """``networks`` are shown whole; of ``shapes`` the ways at one bit, in a line."""

    text: str
    networks: tuple[Measured, ...]
    shapes: tuple[Shape, ...]
    findings: str


def rounding_section(path: Path, root: Path) -> list[str]:
    """Lines of Markdown. ``root`` is the repository's. Raises InputError."""
    values = build_record(_Roundings, read_yaml(path), path.stem)
    lines = ["## Quantizing without labels", "", values.text.strip(), ""]
    for network in values.networks:
        document = _document(root, network.report)
        lines += [f"### {network.title}", ""]
        lines += [network.text.strip(), ""] if network.text else []
        processor = document["environment"]["processor"]
        lines += [table(document).strip(), "", f"Measured on: {processor}.", ""]
    ways = (*RIVALS, ABLATION, OURS)
    lines += [
        "### One bit, in networks of several shapes",
        "",
        "Top-1 [%] of the test images with 1-bit weights and 8-bit activations. The lead is that "
        "of the last way over the best of the first three. Where a shape was trained with several "
        "seeds, the mean and the range.",
        "",
        f"| | full precision | {' | '.join(TITLES[way] for way in ways)} | lead |",
        "|---" * (len(ways) + 3) + "|",
        *(_shape(shape, root) for shape in values.shapes),
        "",
    ]
    return [*lines, "### Findings", "", values.findings.strip(), ""]


def _shape(shape: Shape, root: Path) -> str:
    columns: dict[str, list[float]] = {way: [] for way in ("twin", *RIVALS, ABLATION, OURS, "lead")}
    for report in shape.reports:
        document = _document(root, report)
        top1 = _top1_by_way(document)
        lacking = [way for way in (*RIVALS, OURS) if way not in top1]
        if lacking:
            raise InputError(f"'{report}' has no row of {', '.join(lacking)} at W1A8; measure it")
        top1 |= {"twin": 100 * document["reference"]}
        top1 |= {"lead": top1[OURS] - max(top1[way] for way in RIVALS)}
        for way, reached in columns.items():
            reached += [top1[way]] if way in top1 else []
    cells = [mean_and_range(reached) if reached else "" for reached in columns.values()]
    return f"| {shape.title} | {' | '.join(cells)} |"


def _document(root: Path, report: str) -> dict[str, Any]:
    if not (root / report).is_file():
        raise InputError(f"'{report}' is not there; scripts/compare-rounding --json makes it")
    document: dict[str, Any] = json.loads((root / report).read_text())
    return document


def _top1_by_way(document: dict[str, Any]) -> dict[str, float]:
    """Percent at W1A8, the mean over draws of images, of the ways that were measured."""
    found: dict[str, list[float]] = {}
    for row in document["rows"]:
        if (row["weights"], row["activations"]) == (1, 8):
            found.setdefault(row["method"], []).append(100 * row["top1"])
    return {way: statistics.mean(reached) for way, reached in found.items()}
