"""The table of a network's layers: with their times, where they were measured, by block."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from bitat_deploy.network import shape_text
from bitat_deploy.report.formatting import byte_size, duration, microseconds
from bitat_deploy.report.sections import Cell, Column, Table, Tone

_Layer = Mapping[str, Any]
_SUMMED = ("ms", "share", "macs", "weight_bytes")


def layer_section(document: Mapping[str, Any]) -> Table | None:
    """One row for each layer; where times are known, also one for each block with its sums."""
    layers = document.get("layers", ())
    if not layers:
        return None
    notes = [
        "Bits: weights/activations; 1/1 is a binary layer. MAC: multiply-accumulates for one image."
    ]
    if not any("ms" in layer for layer in layers):
        shown = [_layer_columns(layer) for layer in layers]
        columns = [column for column, _ in _COLUMNS]
        return Table("Layers", columns, shown, notes, pages_only=True)
    total = sum(layer.get("ms", 0) for layer in layers)
    median = document["latency_ms"]["p50"] / document.get("batch", 1)
    notes.append(
        f"For one image the layers take {duration(total)} together and the whole network "
        f"{duration(median)} (median)."
    )
    emulated = document["device"]["emulated"]
    return _timed(layers, notes, emulated)


def _timed(layers: Sequence[_Layer], notes: Sequence[str], emulated: bool) -> Table:
    rows = _with_blocks(layers)
    quiet = Tone.QUIET if emulated else Tone.PLAIN
    largest = max((layer.get("share", 0) for layer in layers), default=0) or 1
    bars = tuple(0.0 if "layers" in row else row.get("share", 0) / largest for row in rows)
    rates: list[tuple[Column, Callable[[_Layer], str]]] = [
        (Column("GMAC/s", True), lambda row: _rate(row, "macs_per_second", 1e9))
    ]
    if any("macs_per_cycle" in layer for layer in layers):
        rates.append((Column("MAC/cycle", True), lambda row: _rate(row, "macs_per_cycle")))
    times = [Column("µs", True), Column("share", True, bars=bars)]
    cells = []
    for row in rows:
        tone = Tone.STRONG if "layers" in row and not emulated else quiet
        text = [
            microseconds(row["ms"]) if "ms" in row else "",
            f"{row['share']:.1%}" if "share" in row else "",
            *_layer_columns(row),
            *(cell(row) for _, cell in rates),
        ]
        timed = {0, 1, *range(len(text) - len(rates), len(text))}
        strong = Tone.STRONG if "layers" in row else Tone.PLAIN
        cells.append([Cell(t, tone if i in timed else strong) for i, t in enumerate(text)])
    columns = [*times, *(column for column, _ in _COLUMNS), *(column for column, _ in rates)]
    title = f"Layers{' (EMULATED)' if emulated else ''}"
    return Table(title, columns, cells, notes)


def _with_blocks(layers: Sequence[_Layer]) -> list[_Layer]:
    """The layers, and before those that follow each other in one block, the block's sums."""
    rows: list[_Layer] = []
    for block, members in groupby(layers, lambda layer: block_of(layer["name"])):
        found = list(members)
        if not block or len(found) == 1:
            rows += found
            continue
        sums = {key: sum(layer[key] for layer in found) for key in _SUMMED if _all(found, key)}
        seconds = sums.get("ms", 0) / 1e3
        if seconds > 0:
            sums["macs_per_second"] = sums["macs"] / seconds
        rows += [{"name": block, "layers": len(found), **sums}, *found]
    return rows


def block_of(layer: str) -> str:
    """The block that a layer's name tells of, empty if none.

    "block0" of our "block0.depthwise.codes", "/layer1/layer1.0" of PyTorch's
    "/layer1/layer1.0/conv1/Conv".
    """
    if "/" in layer:
        return "/".join(layer.split("/")[:-2])
    block, dot, _ = layer.partition(".")
    return block if dot else ""


def _all(layers: Sequence[_Layer], key: str) -> bool:
    return all(key in layer for layer in layers)


def _kind(row: _Layer) -> str:
    return f"{row['layers']} layers" if "layers" in row else row["kind"]


def _bits(row: _Layer) -> str:
    return "" if "layers" in row else f"{row['weight_bits']}/{row['activation_bits']}"


def _shape(row: _Layer) -> str:
    return "" if "layers" in row else shape_text(row["output_shape"])


_COLUMNS: tuple[tuple[Column, Callable[[_Layer], str]], ...] = (
    (Column("layer"), lambda row: row["name"]),
    (Column("kind"), _kind),
    (Column("output", pages_only=True), _shape),
    (Column("bits", True), _bits),
    (Column("MMAC", True, pages_only=True), lambda row: f"{row['macs'] / 1e6:.2f}"),
    (Column("weights", True, pages_only=True), lambda row: byte_size(row["weight_bytes"])),
)


def _layer_columns(row: _Layer) -> list[str]:
    return [cell(row) for _, cell in _COLUMNS]


def _rate(row: _Layer, key: str, unit: float = 1.0) -> str:
    """The rate; empty if it is unknown, or the layer has no arithmetic."""
    return f"{row[key] / unit:.2f}" if row.get("macs") and key in row else ""
