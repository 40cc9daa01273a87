"""What a bench report shows, whatever the format: one function for each section.

A row is one line here; its figure comes from the document (schema.json). Terminal, Markdown and
HTML show what :func:`bench_report` returns. Times of an emulated device are grey, and never among
the figures at the top.
"""

from collections.abc import Mapping
from typing import Any

from bitat_deploy.device import SINCE_BOOT, throttle_names
from bitat_deploy.report.baseline_sections import baseline_sections
from bitat_deploy.report.class_sections import class_sections
from bitat_deploy.report.formatting import byte_size, duration, headline, percentage, thread_count
from bitat_deploy.report.layer_section import layer_section
from bitat_deploy.report.sections import (
    Banner,
    Fact,
    Facts,
    Histogram,
    Report,
    Section,
    Tone,
    banner_of_times,
)

Document = Mapping[str, Any]

# The contents of picture files by the index of the image.
Pictures = Mapping[int, bytes]

_PERCENTILES = ("p50", "p90", "p99")


def bench_report(document: Document, pictures: Pictures | None = None) -> Report:
    """The report on ``document``, which bench_document made or read_report read.

    ``pictures`` of the images that were classified wrongly are shown on a page.
    """
    device = document["device"]
    date = document.get("measured_at", "")[:10]
    sections: list[Section | None] = [
        *baseline_sections(document),
        _distribution(document),
        _latency(document),
        _accuracy(document),
        _sizes(document),
        _device(document),
        _conditions(document),
        _network(document),
        _measurement(document),
        layer_section(document),
        *class_sections(document, pictures or {}),
    ]
    return Report(
        f"{document['model']['name']} on {device['board'] or device['cpu']}",
        f"Built for {document['target']}, measured on {device['name']} with "
        f"{thread_count(document['threads'])} by bitat-deploy{date and f' on {date}'}.",
        banner(document),
        _figures(document),
        [section for section in sections if section is not None],
        more="-v shows all that was found, --html FILE also draws it.",
    )


def banner(document: Document) -> Banner | None:
    """Why the times are not to be trusted; None if nothing is known against them."""
    device = document["device"]
    return banner_of_times(
        device["emulated"],
        document.get("not_trustworthy", ()),
        (
            "The times say nothing about real hardware; accuracy and sizes are valid.",
            "Do not rely on the times:",
        ),
        f"bitat-deploy doctor --host {device['name']}",
    )


def _figures(document: Document) -> list[tuple[str, str]]:
    latency, words = headline(document["latency_ms"])
    accuracy = document["accuracy"].get("top1")
    emulated = document["device"]["emulated"]
    return [
        *([] if emulated else [(duration(latency), f"latency, {words}")]),
        *([(percentage(accuracy), "top-1 accuracy")] if accuracy is not None else []),
        (byte_size(document["memory"]["peak_rss_bytes"]), "peak memory"),
        (byte_size(document["size"]["model_bytes"]), "compiled model"),
    ]


def _distribution(document: Document) -> Histogram | None:
    latency, emulated = document["latency_ms"], document["device"]["emulated"]
    if "samples" not in latency:
        return None
    title = f"Distribution of the latency{' (EMULATED)' if emulated else ''}"
    marks = [(name, latency[name]) for name in _PERCENTILES]
    return Histogram(title, latency["samples"], marks, quiet=emulated)


def _latency(document: Document) -> Facts | None:
    latency, batch = document["latency_ms"], document.get("batch", 1)
    emulated = document["device"]["emulated"]
    rate = document.get("images_per_second")
    per_second = "" if rate is None else f", {rate:.1f} images/s"
    each = f"{batch} images{per_second}" if batch > 1 else ""
    median, *slower = (duration(latency[name]) for name in _PERCENTILES)
    return _facts(
        f"Latency{' (EMULATED)' if emulated else ''}",
        Fact(
            f"latency{', EMULATED' if emulated else ''}",
            f"{median} median, {slower[0]} p90, {slower[1]} p99",
            brief=True,
        ),
        Fact("mean, deviation", f"{duration(latency['mean'])}, {duration(latency['std'])}"),
        Fact("fastest, slowest", f"{duration(latency['min'])}, {duration(latency['max'])}"),
        Fact("runs", f"{latency['runs']:,} after {latency['warmup']:,} of warm-up"),
        Fact("each run", each, brief=True),
        Fact("threads", str(document["threads"])),
        Fact("loading", duration(document["load_ms"])),
        Fact("first image", duration(document["first_inference_ms"])),
        tone=Tone.QUIET if emulated else Tone.PLAIN,
    )


def _accuracy(document: Document) -> Facts | None:
    accuracy = document["accuracy"]
    top1, interval = accuracy.get("top1"), accuracy.get("top1_interval")
    known = "not measured: no labels" if top1 is None else percentage(top1)
    if interval:
        low, high = map(percentage, interval)
        known += f" ({low} to {high}, 99 % interval)"
    tolerance, differing = accuracy.get("logits_tolerance"), accuracy["differing_from_reference"]
    close = f"within {tolerance:g} of the largest (float32)" if tolerance else "bit for bit"
    said = f"equal to ONNX Runtime's, {close}"
    return _facts(
        "Accuracy" if top1 is not None else "Answers",
        Fact("top-1", known, brief=True),
        Fact("images", f"{accuracy['images']:,} of {document['dataset']}", brief=True),
        Fact(
            "logits",
            said if accuracy["logits_equal"] else "NOT equal to ONNX Runtime's",
            brief=True,
        ),
        Fact("unlike ONNX Runtime", f"{differing:,} predictions", brief=differing > 0),
    )


def _sizes(document: Document) -> Facts | None:
    size = document["size"]
    weights = sum(layer["weight_bytes"] for layer in document.get("layers", ()))
    seconds = size.get("push_seconds")
    pushed = byte_size(size["pushed_bytes"]) + (f" in {seconds:.1f} s" if seconds else "")
    memory = byte_size(document["memory"]["peak_rss_bytes"])
    bundle = byte_size(size["bundle_bytes"])
    return _facts(
        "Memory and size",
        Fact("peak memory", f"{memory} (the whole program, libraries included)"),
        Fact("compiled model", f"{byte_size(size['model_bytes'])} (code, weights, tables)"),
        Fact("weights in it", f"{byte_size(weights)} (packed, alone)" if weights else ""),
        Fact("bundle", f"{bundle} (model, runtime, programs)"),
        Fact("pushed this time", pushed),
    )


def _device(document: Document) -> Facts | None:
    device = document["device"]
    glibc = f"glibc {device['glibc']}" if device["glibc"] else "no glibc"
    processor = f"{device['cores']} x {device['cpu']} ({device['arch']})"
    return _facts(
        "Device",
        Fact("name", device["name"]),
        Fact("board", device["board"]),
        Fact("processor", processor, brief=True),
        Fact("memory", byte_size(device["memory_bytes"])),
        Fact("system", f"{device['os']}, {device['kernel']}, {glibc}"),
    )


def _conditions(document: Document) -> Facts | None:
    before, after = (document.get(f"health_{when}", {}) for when in ("before", "after"))
    load, share = before.get("load"), document.get("clock_share_at_maximum")
    throttling = _throttling(before.get("throttled"), after.get("throttled"))
    return _facts(
        "Conditions",
        Fact("clock", _pair(_clock(before), _clock(after), "MHz"), brief=True),
        Fact("clock at maximum", "" if share is None else f"{share:.0%} of the time"),
        Fact("clock governor", document["device"]["governor"]),
        Fact(
            "temperature",
            _pair(before.get("temperature"), after.get("temperature"), "°C"),
            brief=True,
        ),
        Fact("throttling", throttling, brief=throttling != _NO_THROTTLING),
        Fact("load before", "" if load is None else f"{load:.2f} processes, average of one minute"),
    )


def _clock(health: Document) -> float | None:
    """The clock of the fastest cores in MHz."""
    clocks = health.get("clocks", ())
    return max(clocks, key=lambda clock: clock["max"])["now"] if clocks else None


def _pair(before: float | None, after: float | None, unit: str) -> str:
    if before is None or after is None:
        return ""
    return f"{before:.0f} {unit} before, {after:.0f} {unit} after"


_NO_THROTTLING = "none since boot"


def _throttling(before: int | None, after: int | None) -> str:
    if after is None:
        return ""
    now = throttle_names((before or 0) | after)
    earlier = [name for name in throttle_names(after >> SINCE_BOOT) if name not in now]
    parts = [f"now: {', '.join(now)}"] if now else []
    parts += [f"earlier since boot: {', '.join(earlier)}"] if earlier else []
    return "; ".join(parts) or _NO_THROTTLING


def _network(document: Document) -> Facts | None:
    target, metadata = document.get("target_processor", {}), document["model"].get("metadata", {})
    features = ", ".join(target.get("features", ()))
    processor = target.get("cpu", "") + (f" with {features}" if features else "")
    return _facts(
        "Network and target",
        Fact("recipe", metadata.get("recipe", "")),
        Fact("method", metadata.get("method", "")),
        Fact("sha256 of the ONNX", document["model"]["sha256"]),
        Fact("target", f"{document['target']}: {target['description']}" if target else ""),
        Fact("compiled for", processor),
    )


def _measurement(document: Document) -> Facts | None:
    options = document.get("options", {})
    asked = (
        f"at least {options['min_runs']:,} runs and {options['min_seconds']:g} s"
        f"{', layers timed' if options['profile_runs'] else ''}"
        if options
        else ""
    )
    return _facts(
        "Measurement",
        Fact("date", document.get("measured_at", "").replace("T", " ").replace("Z", " UTC")),
        Fact("command", document.get("command", "")),
        Fact("asked for", asked),
        *(Fact(name, version) for name, version in document["versions"].items()),
    )


def _facts(title: str, *rows: Fact, tone: Tone = Tone.PLAIN) -> Facts | None:
    """The rows that have a value; None if there are none."""
    known = [Fact(row.what, row.value, row.brief, tone) for row in rows if row.value]
    return Facts(title, known) if known else None
