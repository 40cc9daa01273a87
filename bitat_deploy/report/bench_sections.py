"""What a bench report shows, whatever the format: one function for each section.

A row is one line here; its figure comes from the document (schema.json). Terminal, Markdown and
HTML show what :func:`bench_report` returns.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bitat_deploy.device import HEADLINES, MEDIAN, SINCE_BOOT, throttle_names
from bitat_deploy.network import shape_text
from bitat_deploy.report.formatting import byte_size, duration, percentage
from bitat_deploy.report.sections import (
    Banner,
    Column,
    Facts,
    Histogram,
    Matrix,
    Report,
    Section,
    Table,
    Tone,
)

Document = Mapping[str, Any]

# A matrix of more classes cannot be read; then only the classes with most mistakes are listed.
_MATRIX_CLASSES = 30

_PERCENTILES = ("p50", "p90", "p99")


def bench_report(document: Document) -> Report:
    """The report on ``document``, which bench_document made or read_report read."""
    device = document["device"]
    sections: list[Section | None] = [
        _distribution(document),
        _latency(document),
        _accuracy(document),
        _sizes(document),
        _device(document),
        _conditions(document),
        _software(document),
        _baselines(document),
        _layers(document),
        *_classes(document),
    ]
    return Report(
        f"{document['model']['name']} on {device['board'] or device['cpu']}",
        f"Built for {document['target']}, measured on {device['name']} with {_threads(document)} "
        "by bitat-deploy.",
        banner(document),
        _figures(document),
        [section for section in sections if section is not None],
    )


def banner(document: Document) -> Banner | None:
    """Why the times are not to be trusted; None if nothing is known against them."""
    if document["device"]["emulated"]:  # other reasons do not matter then
        sentence = "The times say nothing about real hardware; accuracy and memory are valid."
        return Banner("EMULATED", sentence, Tone.BAD)
    reasons = tuple(document.get("not_trustworthy", ()))
    if not reasons:
        return None
    remedy = f"bitat-deploy doctor --host {document['device']['name']}"
    return Banner("NOT TRUSTWORTHY", "Do not rely on the times:", Tone.DOUBTFUL, reasons, remedy)


def headline(latency: Document) -> tuple[float, str]:
    """The latency to report, in milliseconds, and the name of the statistic."""
    field, words = HEADLINES[latency.get("rule", MEDIAN)]
    return latency[field], words


def _timed(title: str, document: Document) -> str:
    """The title of something that holds times."""
    return f"{title} (EMULATED)" if document["device"]["emulated"] else title


def _figures(document: Document) -> list[tuple[str, str]]:
    latency, words = headline(document["latency_ms"])
    accuracy = document["accuracy"].get("top1")
    return [
        (duration(latency), _timed(f"latency, {words}", document)),
        *([(percentage(accuracy), "top-1 accuracy")] if accuracy is not None else []),
        (byte_size(document["memory"]["peak_rss_bytes"]), "peak memory"),
        (byte_size(document["size"]["model_bytes"]), "compiled model"),
    ]


def _distribution(document: Document) -> Histogram | None:
    latency = document["latency_ms"]
    if "samples" not in latency:
        return None
    title = _timed("Distribution of the latency", document)
    return Histogram(title, latency["samples"], [(name, latency[name]) for name in _PERCENTILES])


def _latency(document: Document) -> Facts | None:
    latency, batch = document["latency_ms"], document.get("batch", 1)
    each = f"{batch} images, {document['images_per_second']:.1f} images/s" if batch > 1 else ""
    percentiles = ", ".join(duration(latency[name]) for name in _PERCENTILES)
    return _facts(
        _timed("Latency", document),
        ("p50, p90, p99", percentiles),
        ("mean, deviation", f"{duration(latency['mean'])}, {duration(latency['std'])}"),
        ("fastest, slowest", f"{duration(latency['min'])}, {duration(latency['max'])}"),
        ("runs", f"{latency['runs']:,} after {latency['warmup']:,} of warm-up"),
        ("each run", each),
        ("threads", str(document["threads"])),
        ("loading", duration(document["load_ms"])),
        ("first image", duration(document["first_inference_ms"])),
    )


def _accuracy(document: Document) -> Facts | None:
    accuracy = document["accuracy"]
    tolerance = accuracy.get("logits_tolerance")
    close = f"equal within {tolerance:g} of the largest (float32)" if tolerance else ""
    logits = close or "equal, bit for bit"
    top1 = accuracy.get("top1")
    return _facts(
        "Accuracy" if top1 is not None else "Answers",
        ("top-1", "not measured: no labels" if top1 is None else percentage(top1)),
        ("images", f"{accuracy['images']:,} of {document['dataset']}"),
        ("unlike ONNX Runtime", f"{accuracy['differing_from_reference']:,} predictions"),
        ("logits", logits if accuracy["logits_equal"] else "NOT equal"),
    )


def _sizes(document: Document) -> Facts | None:
    size = document["size"]
    weights = sum(layer["weight_bytes"] for layer in document.get("layers", ()))
    seconds = size.get("push_seconds")
    pushed = byte_size(size["pushed_bytes"]) + (f" in {seconds:.1f} s" if seconds else "")
    return _facts(
        "Memory and size",
        ("peak memory", byte_size(document["memory"]["peak_rss_bytes"])),
        ("compiled model", byte_size(size["model_bytes"])),
        ("weights in it", byte_size(weights) if weights else ""),
        ("bundle", byte_size(size["bundle_bytes"])),
        ("pushed this time", pushed),
    )


def _device(document: Document) -> Facts | None:
    device = document["device"]
    glibc = f"glibc {device['glibc']}" if device["glibc"] else "no glibc"
    return _facts(
        "Device",
        ("name", device["name"]),
        ("board", device["board"]),
        ("processor", f"{device['cores']} x {device['cpu']} ({device['arch']})"),
        ("memory", byte_size(device["memory_bytes"])),
        ("system", f"{device['os']}, {device['kernel']}, {glibc}"),
    )


def _conditions(document: Document) -> Facts | None:
    before, after = (document.get(f"health_{when}", {}) for when in ("before", "after"))
    load, share = before.get("load"), document.get("clock_share_at_maximum")
    return _facts(
        "Conditions",
        ("clock", _pair(_clock(before), _clock(after), "MHz")),
        ("clock at maximum", "" if share is None else f"{share:.0%} of the time"),
        ("clock governor", document["device"]["governor"]),
        ("temperature", _pair(before.get("temperature"), after.get("temperature"), "°C")),
        ("throttling", _throttling(before.get("throttled"), after.get("throttled"))),
        ("load before", "" if load is None else f"{load:.2f} processes, average of one minute"),
    )


def _clock(health: Document) -> float | None:
    """The clock of the fastest cores in MHz."""
    clocks = health.get("clocks", ())
    return max(clocks, key=lambda clock: clock["max"])["now"] if clocks else None


def _pair(before: float | None, after: float | None, unit: str) -> str:
    if before is None or after is None:
        return ""
    return f"{before:.0f} {unit} before, {after:.0f} {unit} after"


def _throttling(before: int | None, after: int | None) -> str:
    if after is None:
        return ""
    now = throttle_names((before or 0) | after)
    earlier = [name for name in throttle_names(after >> SINCE_BOOT) if name not in now]
    parts = [f"now: {', '.join(now)}"] if now else []
    parts += [f"earlier since boot: {', '.join(earlier)}"] if earlier else []
    return "; ".join(parts) or "none since boot"


def _software(document: Document) -> Facts | None:
    return _facts(
        "Network and software",
        ("sha256 of the ONNX", document["model"]["sha256"]),
        *document["versions"].items(),
    )


def _baselines(document: Document) -> Table | None:
    baselines = document.get("baselines")
    if not baselines:
        return None
    names = ("network", "latency", "ratio (99 % interval)", "model", "peak memory")
    own = (
        "binarized",
        duration(headline(document["latency_ms"])[0]),
        "1",
        byte_size(document["size"]["model_bytes"]),
        byte_size(document["memory"]["peak_rss_bytes"]),
    )
    return Table(
        _timed("Baseline", document),
        [Column(name, number=bool(index)) for index, name in enumerate(names)],
        [own, *map(_twin, baselines)],
        _baseline_notes(document),
    )


def _twin(baseline: Document) -> tuple[str, ...]:
    name, size = f"{baseline['name']} twin", byte_size(baseline["model_bytes"])
    if "failure" in baseline:
        return name, "failed", "", size, ""
    ratio = f"{baseline['latency_ratio']:.2f}"
    if "latency_ratio_interval" in baseline:
        low, high = baseline["latency_ratio_interval"]
        ratio += f" ({low:.2f} to {high:.2f})"
    latency = duration(headline(baseline["latency_ms"])[0])
    return name, latency, ratio, size, byte_size(baseline["peak_rss_bytes"])


def _baseline_notes(document: Document) -> list[str]:
    first, known = document["baselines"][0], document.get("not_trustworthy", ())
    notes = [
        f"The twins ran in {first['runtime']} (library {byte_size(first['runtime_bytes'])}) with "
        f"all optimizations, on the same device in the same session, with {_threads(document)}. "
        "The ratio is a twin's latency divided by the binarized network's.",
        "The twins have the network's shapes and untrained weights: compare latency and size, "
        "not accuracy.",
    ]
    emulated = document["device"]["emulated"]
    if emulated:
        notes.append("The processor is emulated: on hardware the ratios are different.")
    for baseline in document["baselines"]:
        if "failure" in baseline:
            notes.append(f"The {baseline['name']} twin was not measured: {baseline['failure']}.")
        reasons = [one for one in baseline.get("not_trustworthy", ()) if one not in known]
        if reasons and not emulated:
            why = "; ".join(reasons)
            notes.append(f"The {baseline['name']} twin's times are not trustworthy: {why}.")
    return notes


def _layers(document: Document) -> Table | None:
    layers = document.get("layers", ())
    if not layers:
        return None
    weights, times = _bars(layers, "weight_bytes"), _bars(layers, "ms")
    columns: list[tuple[Column, Callable[[Document], str]]] = [
        (Column("layer"), lambda layer: layer["name"]),
        (Column("kind"), lambda layer: layer["kind"]),
        (Column("output", pages_only=True), lambda layer: shape_text(layer["output_shape"])),
        (Column("bits", True), lambda layer: f"{layer['weight_bits']}/{layer['activation_bits']}"),
        (Column("MMAC", True, pages_only=True), lambda layer: f"{layer['macs'] / 1e6:.2f}"),
        (
            Column("weights", True, bars=weights, pages_only=True),
            lambda layer: byte_size(layer["weight_bytes"]),
        ),
    ]
    notes = [
        "Bits: weights/activations; 1/1 is a binary layer. MAC: multiply-accumulates for one image."
    ]
    profiled = any("ms" in layer for layer in layers)
    if profiled:
        columns += [
            (Column("ms", True, bars=times), lambda layer: _known(layer, "ms", "{:.4f}")),
            (Column("share", True), lambda layer: _known(layer, "share", "{:.1%}")),
            (Column("GMAC/s", True), lambda layer: _known(layer, "macs_per_second", "{:.2f}", 1e9)),
        ]
        total = sum(layer.get("ms", 0) for layer in layers)
        median = document["latency_ms"]["p50"] / document.get("batch", 1)
        notes.append(
            f"For one image the layers take {total:.4f} ms together and the whole network "
            f"{median:.4f} ms (median)."
        )
    if any("macs_per_cycle" in layer for layer in layers):
        rate = Column("MAC/cycle", True)
        columns.append((rate, lambda layer: _known(layer, "macs_per_cycle", "{:.2f}")))
    return Table(
        _timed("Layers", document) if profiled else "Layers",
        [column for column, _ in columns],
        [[cell(layer) for _, cell in columns] for layer in layers],
        notes,
        pages_only=not profiled,
    )


def _known(layer: Document, key: str, form: str, unit: float = 1.0) -> str:
    """The figure; empty if it is unknown, or the rate of a layer without arithmetic."""
    if key not in layer or (key.startswith("macs") and not layer["macs"]):
        return ""
    return form.format(layer[key] / unit)


def _bars(rows: Sequence[Document], key: str) -> tuple[float, ...]:
    values = [row.get(key, 0) for row in rows]
    largest = max(values) or 1
    return tuple(value / largest for value in values)


def _classes(document: Document) -> list[Section]:
    accuracy = document["accuracy"]
    names, confusion = accuracy.get("class_names", ()), accuracy.get("confusion", ())
    if not names or not confusion:
        return []
    fared = []
    for index, (name, counts) in enumerate(zip(names, confusion, strict=True)):
        wrong = [0 if column == index else count for column, count in enumerate(counts)]
        most = max(wrong)
        other = f"{names[wrong.index(most)]} ({most:,})" if most else ""
        images = sum(counts)
        share = counts[index] / images if images else 0.0
        fared.append((share, (name, f"{images:,}", percentage(share), other)))
    title, readable = "Accuracy of each class", len(names) <= _MATRIX_CLASSES
    if not readable:
        title = f"{title}, the {_MATRIX_CLASSES} worst of {len(names)}"
        fared = sorted(fared, key=lambda entry: entry[0])[:_MATRIX_CLASSES]
    columns = [
        Column("class"),
        Column("images", number=True),
        Column("accuracy", number=True, bars=tuple(share for share, _ in fared)),
        Column("most often mistaken for"),
    ]
    table = Table(title, columns, [row for _, row in fared], pages_only=True)
    return [table, Matrix("Confusion matrix", names, confusion)] if readable else [table]


def _threads(document: Document) -> str:
    return f"{document['threads']} thread{'' if document['threads'] == 1 else 's'}"


def _facts(title: str, *rows: tuple[str, str]) -> Facts | None:
    """The rows that have a value; None if there are none."""
    known = [row for row in rows if row[1]]
    return Facts(title, known) if known else None
