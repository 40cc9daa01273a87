"""The results page's section on quantizing without labels: rounding.yaml and the kept reports."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rounding import TITLES, table
from bitat_deploy.plain_values import build_record
from bitat_deploy.yaml_file import read_yaml

OURS = "stream"
RIVALS = ("nearest", "adaround", "gptq")


@dataclass(frozen=True)
class Measured:
    """A file of scripts/compare-rounding, by its path in the repository."""

    title: str
    report: str
    text: str = ""


@dataclass(frozen=True)
class _Roundings:
    """``networks`` are shown whole; of ``shapes`` the ways at one bit, a line for each network."""

    text: str
    networks: tuple[Measured, ...]
    shapes: tuple[Measured, ...]
    findings: str


def rounding_section(path: Path, root: Path) -> list[str]:
    """Lines of Markdown. ``root`` is the repository's. Raises InputError."""
    values = build_record(_Roundings, read_yaml(path), path.stem)
    lines = ["## Quantizing without labels", "", values.text.strip(), ""]
    for network in values.networks:
        document = json.loads((root / network.report).read_text())
        lines += [f"### {network.title}", ""]
        lines += [network.text.strip(), ""] if network.text else []
        processor = document["environment"]["processor"]
        lines += [table(document).strip(), "", f"Measured on: {processor}.", ""]
    ways = (*RIVALS, OURS)
    lines += [
        "### One bit, in networks of several shapes",
        "",
        "Top-1 [%] of the test images with 1-bit weights and 8-bit activations. The lead is that "
        "over the best of the other ways.",
        "",
        f"| | full precision | {' | '.join(TITLES[way] for way in ways)} | lead |",
        "|---" * (len(ways) + 3) + "|",
        *(_shape(shape, root) for shape in values.shapes),
        "",
    ]
    return [*lines, "### Findings", "", values.findings.strip(), ""]


def _shape(shape: Measured, root: Path) -> str:
    document: dict[str, Any] = json.loads((root / shape.report).read_text())
    top1 = {way: _top1(document, way) for way in (*RIVALS, OURS)}
    rivals = [top1[way] for way in RIVALS]
    lead = top1[OURS] - max(rivals)
    cells = [100 * document["reference"], *rivals, top1[OURS], lead]
    return f"| {shape.title} | {' | '.join(f'{cell:.2f}' for cell in cells)} |"


def _top1(document: dict[str, Any], way: str) -> float:
    """Percent at W1A8, the mean over draws of images."""
    return 100 * statistics.mean(
        row["top1"]
        for row in document["rows"]
        if (row["weights"], row["activations"], row["method"]) == (1, 8, way)
    )
