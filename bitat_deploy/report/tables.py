"""The tables of single commands: build, run, tune, and bench with several boards."""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType

from bitat_deploy.compiler import LayerReport
from bitat_deploy.network import shape_text
from bitat_deploy.records import DEFAULT, EMULATED, Record
from bitat_deploy.report.bench_sections import Document, banner
from bitat_deploy.report.formatting import duration, percentage
from bitat_deploy.report.sections import Cell, Column, Table, Tone
from bitat_deploy.report.terminal import terminal_table

# Of a network's answer to one image.
_SHOWN_CLASSES = 5


class Summary(Protocol):
    """A tuned workload, as far as it is shown; see tuning/log.py."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers with this workload."""

    @property
    def tried(self) -> int:
        """Number of candidates."""

    @property
    def failed(self) -> int:
        """Number of candidates with a wrong answer or none."""

    @property
    def best(self) -> Record | None:
        """The fastest candidate."""


_NAMED = 4  # layers of one reason


def layer_table(layers: Sequence[LayerReport]) -> RenderableType:
    """One row for each layer of a build, and below each reason why some are not binarized."""
    columns = [
        Column("layer", fold=True),
        Column("kind", fold=True),
        Column("output"),
        Column("bits", number=True),
        *map(Column, ("binarized", "fused", "packed", "tuned")),
    ]
    rows = [
        (
            layer.name,
            layer.kind,
            shape_text(layer.output_shape),
            f"{layer.weight_bits}/{layer.activation_bits}",
            _yes_or_no(layer.binarized),
            _yes_or_no(layer.fused),
            _yes_or_no(layer.packed_output),
            layer.tuned.partition(":")[0] or "-",
        )
        for layer in layers
    ]
    notes = [f"Why not, {_some(names)}: {reason}." for reason, names in _reasons(layers).items()]
    total = sum(layer.macs for layer in layers)
    binary = sum(layer.macs for layer in layers if layer.binarized)
    notes.append(
        f"Bits: weights/activations. Of {total / 1e6:.1f} million "
        f"multiply-accumulates {binary / max(total, 1):.1%} are binary."
    )
    origins = sorted({layer.tuned for layer in layers if layer.tuned})
    if origins:
        notes.append(f"Tuned by records from {'; '.join(origins)}; '-': no records.")
    return terminal_table(Table("Layers", columns, rows, notes))


def _reasons(layers: Sequence[LayerReport]) -> dict[str, list[str]]:
    """The layers that have each reason, in order."""
    found: dict[str, list[str]] = {}
    for layer in layers:
        if layer.reason:
            found.setdefault(layer.reason, []).append(layer.name)
    return found


def _some(names: Sequence[str]) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"


def board_table(
    boards: Sequence[tuple[str, Document | Exception | None]], what: str = "board"
) -> RenderableType:
    """One row for each board, by name: its report, or the error that ended its bench.

    ``what`` is the kind of thing that they differ in.
    """
    columns = [
        Column(what, fold=True),
        *(Column(name, number=True) for name in ("median", "p90", "top-1", "differing")),
        Column("times"),
    ]
    rows: list[Sequence[str | Cell]] = []
    notes: list[str | Cell] = []
    for name, outcome in boards:
        if not isinstance(outcome, Mapping):
            rows.append((name, *["-"] * 4, Cell("failed", Tone.BAD)))
            notes.append(Cell(f"{name}: failed: {outcome}", Tone.BAD))
            continue
        device, latency, accuracy = (outcome[key] for key in ("device", "latency_ms", "accuracy"))
        warning = banner(outcome)
        rows.append(
            (
                f"{name} ({device['board'] or device['cpu']})",
                duration(latency["p50"]),
                duration(latency["p90"]),
                percentage(accuracy["top1"]) if "top1" in accuracy else "-",
                f"{accuracy['differing_from_reference']:,}",
                Cell(warning.title, warning.tone) if warning else Cell("sound", Tone.GOOD),
            )
        )
        for twin in outcome.get("baselines", ()):
            notes.append(f"{name}: {_twin(twin, outcome)}")
        if warning:
            notes += [Cell(line, warning.tone) for line in warning.about(name)]
    return terminal_table(Table(f"{what.capitalize()}s", columns, rows, notes))


def top_classes_table(logits: NDArray[np.float32], class_names: Sequence[str]) -> RenderableType:
    """The classes with the largest of ``logits`` [classes], and their softmax."""
    exponentials = np.exp(logits.astype(np.float64) - float(logits.max()))
    shares = exponentials / exponentials.sum()
    named = len(class_names) == len(logits)
    rows = [
        (
            class_names[index] if named else f"class {index}",
            f"{shares[index]:.1%}",
            f"{logits[index]:.3f}",
        )
        for index in np.argsort(-logits, kind="stable")[:_SHOWN_CLASSES]
    ]
    columns = [Column("class", fold=True), Column("softmax", True), Column("logit", True)]
    return terminal_table(Table("", columns, rows))


def tuning_table(summaries: Sequence[Summary]) -> RenderableType:
    """One row for each distinct layer: its fastest schedule, and what that gains."""
    columns = [
        Column("layer", fold=True),
        *(Column(name, True) for name in ("tried", "failed", "default", "best", "gain")),
        Column("fastest schedule", fold=True),
    ]
    rows = [
        (
            _first_of(summary.layers),
            str(summary.tried),
            str(summary.failed or "-"),
            *(("-", "-", "-", "-") if summary.best is None else _gain(summary.best)),
        )
        for summary in summaries
    ]
    emulated = any(s.best is not None and s.best.source == EMULATED for s in summaries)
    note = "EMULATED: these times say nothing about real hardware; no build uses them."
    return terminal_table(Table("Tuning", columns, rows, [note] * emulated))


def _yes_or_no(value: bool) -> Cell:
    return Cell("yes", Tone.GOOD) if value else Cell("no", Tone.DOUBTFUL)


def _twin(twin: Document, document: Document) -> str:
    if "failure" in twin:
        return f"the {twin['name']} twin was not measured: {twin['failure']}"
    emulated = " (EMULATED)" if document["device"]["emulated"] else ""
    ratio = f"{twin['latency_ratio']:.2f}"
    return f"the {twin['name']} twin in {twin['runtime']} takes {ratio} times as long{emulated}"


def _first_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more like it"


def _gain(best: Record) -> tuple[str, str, str, str]:
    gain = f"{1 / best.ratio:.2f}x"
    return _time(best.reference, best.unit), _time(best.value, best.unit), gain, _schedule(best)


def _schedule(record: Record) -> str:
    if record.schedule == DEFAULT:
        return "the default"
    return ", ".join(f"{key} {value}" for key, value in json.loads(record.schedule).items())


def _time(value: float, unit: str) -> str:
    return f"{value / 1000:.1f} us" if unit == "ns" else f"{value:,.0f} cycles"
