"""The table of boards, from reports that people sent: which count, and what they say."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitat_deploy.errors import InputError
from bitat_deploy.plain_text import foreign_text
from bitat_deploy.report import read_report
from bitat_deploy.zoo import resolve_model, training_report, zoo_names

_BASELINES = ("float32", "int8")
_ARM = ("aarch64", "armv7l")
_HEAD = ("board", "processor", "network", "top-1", "median", "float32", "int8", "measured")


@dataclass(frozen=True)
class Entry:
    """A report: its file, and why it does not count; empty where it does."""

    file: Path
    document: Mapping[str, Any]
    refusal: str


def read_entries(files: Iterable[Path]) -> Iterator[Entry]:
    """Read the reports; one that cannot be read is refused too."""
    for file in files:
        try:
            document = read_report(file)
        except InputError as error:
            yield Entry(file, {}, str(error))
            continue
        yield Entry(file, document, refusal(document))


def refusal(document: Mapping[str, Any]) -> str:
    """Why a report does not belong into the table of boards; empty where it does."""
    device, accuracy = document["device"], document["accuracy"]
    if device["emulated"]:
        return "its processor is emulated, so its times say nothing about hardware"
    if device["arch"] not in _ARM:
        return f"it was measured on {device['arch']}, which is no ARM board"
    doubts = document["not_trustworthy"]
    if doubts:
        return f"its times deserve no trust: {foreign_text('; '.join(doubts), 300)}"
    if not accuracy["logits_equal"]:
        return "the device gave other answers than the reference"
    wrong = _network_refusal(document)
    if wrong:
        return wrong
    if (document["threads"], document["batch"]) != (1, 1):
        return "it was measured with several threads or images at once; the table has one of each"
    return _baseline_refusal(document)


def board_rows(entries: Iterable[Entry]) -> list[tuple[str, ...]]:
    """The table's rows, head first, for the entries that count."""
    rows = [_row(entry.document) for entry in entries if not entry.refusal]
    return [_HEAD, *sorted(rows)]


def as_markdown(rows: list[tuple[str, ...]]) -> str:
    """A table, of which the first row is the head."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _network_refusal(document: Mapping[str, Any]) -> str:
    """Only the zoo's networks, on all their test images, can be compared between boards."""
    sums = {
        hashlib.sha256(resolve_model(name).read_bytes()).hexdigest(): name for name in zoo_names()
    }
    name = sums.get(document["model"]["sha256"])
    if name is None:
        return "its network is none of this version's zoo"
    wanted = (training_report(name) or {}).get("accuracy", {}).get("images", 0)
    measured = document["accuracy"]["images"] if "top1" in document["accuracy"] else 0
    if measured < wanted:
        return f"it has the accuracy on {measured:,} of {wanted:,} test images; leave out --images"
    return ""


def _baseline_refusal(document: Mapping[str, Any]) -> str:
    runs = {one["name"]: one for one in document.get("baselines", ())}
    for name in _BASELINES:
        if name not in runs:
            return f"the {name} baseline is missing; measure with --zoo or --baseline"
        if "failure" in runs[name]:
            return f"the {name} baseline failed: {foreign_text(runs[name]['failure'], 300)}"
        doubts = runs[name]["not_trustworthy"]
        if doubts:
            reasons = foreign_text("; ".join(doubts), 300)
            return f"the times of the {name} baseline deserve no trust: {reasons}"
    return ""


def _row(document: Mapping[str, Any]) -> tuple[str, ...]:
    device = document["device"]
    ours = document["latency_ms"]["p50"]
    baselines = {one["name"]: one["latency_ms"]["p50"] for one in document["baselines"]}
    return (
        foreign_text(device["board"] or device["name"], 80),
        f"{foreign_text(device['cpu'], 80)}, {foreign_text(device['os'], 80)}",
        foreign_text(document["model"]["name"], 80),
        f"{document['accuracy']['top1']:.2%}",
        f"{ours:.3g} ms",
        *(f"{baselines[name]:.3g} ms, {baselines[name] / ours:.1f}x" for name in _BASELINES),
        f"{document['measured_at'][:10]}, {document['versions'].get('bitat-deploy', '')}",
    )
