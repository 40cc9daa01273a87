"""A report as Markdown, for an issue, a wiki or a commit message."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bitat_deploy.report.baselines import HEADER as BASELINE_HEADER
from bitat_deploy.report.baselines import baseline_notes, baseline_rows
from bitat_deploy.report.formatting import byte_size, percentage
from bitat_deploy.report.summary import banner, class_results, dimensions, facts


def markdown_report(report: Mapping[str, Any]) -> str:
    """The report, as :func:`read_report` or :func:`bench_document` give it, in GitHub's dialect."""
    device = report["device"]
    where = device["board"] or device["cpu"]
    parts = [f"# {_text(report['model']['name'])} on {_text(where)}"]
    warning = banner(report)
    if warning is not None:
        lines = [f"**{warning.title}.** {warning.sentence}"]
        lines += [f"- {_text(reason)}" for reason in warning.reasons]
        parts.append("\n".join(f"> {line}" for line in lines))
    for title, rows in facts(report).items():
        if rows:
            parts += [f"## {title}", _table(("what", "value"), rows)]
    if twins := baseline_rows(report):
        parts += ["## Baseline", _table(BASELINE_HEADER, twins, "lrrrr")]
        parts += [_text(note) for note in baseline_notes(report)]
    if classes := class_results(report):
        cells = [
            (
                one.name,
                f"{one.images:,}",
                percentage(one.accuracy),
                f"{one.mistaken_for} ({one.mistakes:,})" if one.mistakes else "",
            )
            for one in classes
        ]
        header = ("class", "images", "accuracy", "most often mistaken for")
        parts += ["## Classes", _table(header, cells, "lrrl")]
    if report.get("layers"):
        parts += ["## Layers", _layers(report["layers"])]
    return "\n\n".join(parts) + "\n"


def _layers(layers: Sequence[Mapping[str, Any]]) -> str:
    timed = any("ms" in layer for layer in layers)
    header = ("layer", "kind", "output", "bits", "MMAC", "weights", *(["ms"] * timed))
    rows = []
    for layer in layers:
        row = [
            layer["name"],
            layer["kind"],
            dimensions(layer),
            f"{layer['weight_bits']}/{layer['activation_bits']}",
            f"{layer['macs'] / 1e6:.2f}",
            byte_size(layer["weight_bytes"]),
        ]
        if timed:
            row.append(f"{layer['ms']:.4f}" if "ms" in layer else "")
        rows.append(row)
    return _table(header, rows, "lllrrrr")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "ll") -> str:
    rules = ["---:" if side == "r" else "---" for side in align[: len(header)]]
    lines = [header, rules, *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    """One line that Markdown and HTML take as text."""
    line = " ".join(text.split())
    for character in "\\`*_[]<>|#":
        line = line.replace(character, f"\\{character}")
    return line
