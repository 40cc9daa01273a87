"""How the network compares with its twins in another runtime: a picture and a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from bitat_deploy.baseline import IN_FILE
from bitat_deploy.report.formatting import byte_size, duration, headline, percentage, thread_count
from bitat_deploy.report.sections import Bars, Cell, Column, Section, Table, Tone

_OWN = "this network"


def baseline_sections(document: Mapping[str, Any]) -> list[Section]:
    """The bars of all latencies, and the table; none where no baseline was measured."""
    baselines = document.get("baselines")
    if not baselines:
        return []
    emulated = document["device"]["emulated"]
    title = "Baseline (EMULATED)" if emulated else "Baseline"
    table = _table(title, document, baselines, emulated)
    measured = [twin for twin in baselines if "failure" not in twin]
    if not measured:
        return [table]
    own, _ = headline(document["latency_ms"])
    rows = [(_OWN, own, duration(own))]
    for twin in measured:
        latency, _ = headline(twin["latency_ms"])
        words = f"{duration(latency)}, {twin['latency_ratio']:.2f} times as long"
        rows.append((_name(twin), latency, words))
    picture = "Latency beside the baseline"
    return [Bars(f"{picture} (EMULATED)" if emulated else picture, rows, quiet=emulated), table]


def _table(
    title: str, document: Mapping[str, Any], baselines: Sequence[Mapping[str, Any]], emulated: bool
) -> Table:
    trained = any("top1" in twin for twin in baselines)
    names = ["network", "latency", "ratio (99 % interval)", "top-1", "model", "peak memory"]
    accuracy = document["accuracy"].get("top1")
    rows = [
        [
            _OWN,
            duration(headline(document["latency_ms"])[0]),
            "1",
            percentage(accuracy) if accuracy is not None else "",
            byte_size(document["size"]["model_bytes"]),
            byte_size(document["memory"]["peak_rss_bytes"]),
        ],
        *map(_twin, baselines),
    ]
    shown = [index for index in range(len(names)) if trained or names[index] != "top-1"]
    times = {1, 2} if emulated else set()
    cells = [[Cell(row[i], Tone.QUIET) if i in times else row[i] for i in shown] for row in rows]
    columns = [Column(names[index], number=index > 0) for index in shown]
    return Table(title, columns, cells, _notes(document, baselines))


def _name(twin: Mapping[str, Any]) -> str:
    return f"{twin['name']} twin"


def _twin(twin: Mapping[str, Any]) -> list[str]:
    size = byte_size(twin["model_bytes"])
    accuracy = percentage(twin["top1"]) if "top1" in twin else ""
    if "failure" in twin:
        return [_name(twin), "failed", "", accuracy, size, ""]
    ratio = f"{twin['latency_ratio']:.2f}"
    if "latency_ratio_interval" in twin:
        low, high = twin["latency_ratio_interval"]
        ratio += f" ({low:.2f} to {high:.2f})"
    latency = duration(headline(twin["latency_ms"])[0])
    return [_name(twin), latency, ratio, accuracy, size, byte_size(twin["peak_rss_bytes"])]


def _notes(document: Mapping[str, Any], baselines: Sequence[Mapping[str, Any]]) -> list[str]:
    first, known = baselines[0], document.get("not_trustworthy", ())
    notes = [
        f"The twins ran in {first['runtime']} with all optimizations, on the same device in the "
        f"same session, with {thread_count(document['threads'])}. The ratio is a twin's latency "
        "divided by this network's. Model: code and weights of this network, the ONNX file of a "
        f"twin, whose runtime's library has {byte_size(first['runtime_bytes'])}.",
    ]
    if not any("trained" in twin for twin in baselines):
        notes.append(
            "The twins have the network's shapes and untrained weights: compare latency and size, "
            "not accuracy."
        )
    for twin in baselines:
        if twin.get("trained") == IN_FILE:
            notes.append(f"The {_name(twin)} is the file that the network was built from.")
        elif "trained" in twin:
            notes.append(
                f"The accuracy of the {_name(twin)} is that of the training run "
                f"'{twin['trained']}'; what was measured has its shapes."
            )
    emulated = document["device"]["emulated"]
    if emulated:
        notes.append("The processor is emulated: on hardware the ratios are different.")
    for twin in baselines:
        if "failure" in twin:
            notes.append(f"The {_name(twin)} was not measured: {twin['failure']}.")
        reasons = [one for one in twin.get("not_trustworthy", ()) if one not in known]
        if reasons and not emulated:
            notes.append(f"The {_name(twin)}'s times are not trustworthy: {'; '.join(reasons)}.")
    return notes
