"""What a report says, in words: the part that Markdown and HTML have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitat_deploy.device.bench_result import MLPERF_SINGLE_STREAM
from bitat_deploy.device.health import SINCE_BOOT, throttle_names
from bitat_deploy.report.formatting import byte_size, duration, logits_in_words, percentage

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Banner:
    """A warning that stands above everything else."""

    title: str
    sentence: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ClassResult:
    """How one class fared; ``mistaken_for`` is the most frequent wrong answer, or empty."""

    name: str
    images: int
    correct: int
    mistaken_for: str
    mistakes: int

    @property
    def accuracy(self) -> float:
        """A fraction of 1; zero where there were no images."""
        return self.correct / self.images if self.images else 0.0


def banner(report: Report) -> Banner | None:
    """What speaks against the times; None where nothing does."""
    reasons = tuple(report.get("not_trustworthy", ()))
    if report["device"]["emulated"]:
        sentence = (
            "The processor is emulated: accuracy and memory hold, the times are not those of "
            "hardware."
        )
        return Banner("EMULATED", sentence, ())
    if reasons:
        return Banner("NOT TRUSTWORTHY", "The times are not to be trusted, because", reasons)
    return None


def facts(report: Report) -> dict[str, list[tuple[str, str]]]:
    """Section to rows of what and value."""
    sections = {
        "Latency": _latency(report),
        "Accuracy": _accuracy(report),
        "Memory and size": _sizes(report),
        "Device": _device(report),
        "Conditions": _conditions(report),
        "Network and software": _software(report),
    }
    return {title: [row for row in rows if row[1]] for title, rows in sections.items()}


def class_results(report: Report) -> list[ClassResult]:
    """One for each class, in the report's order; empty without a confusion matrix."""
    accuracy = report["accuracy"]
    names = accuracy.get("class_names", ())
    results = []
    for index, (name, row) in enumerate(zip(names, accuracy.get("confusion", ()), strict=False)):
        wrong = [0 if column == index else count for column, count in enumerate(row)]
        mistakes = max(wrong)
        other = names[wrong.index(mistakes)] if mistakes else ""
        results.append(ClassResult(name, sum(row), row[index], other, mistakes))
    return results


def dimensions(layer: Report) -> str:
    """The output's shape: "14x14x32"."""
    return "x".join(str(extent) for extent in layer["output_shape"])


def _latency(report: Report) -> list[tuple[str, str]]:
    latency = report["latency_ms"]
    rows = [("median (p50)", duration(latency["p50"]))]
    rows += [(name, duration(latency[name])) for name in ("p90", "p99", "mean", "std")]
    if latency.get("rule") == MLPERF_SINGLE_STREAM:
        rows.insert(0, ("by MLPerf's single-stream rule", f"{duration(latency['p90'])} (p90)"))
    rows += [
        ("fastest, slowest", f"{duration(latency['min'])}, {duration(latency['max'])}"),
        ("runs", f"{latency['runs']:,}, after {latency['warmup']:,} of warm-up"),
        ("threads", str(report["threads"])),
        ("load", duration(report["load_ms"])),
        ("first image", duration(report["first_inference_ms"])),
    ]
    if report.get("batch", 1) > 1:
        rows.append(("images per call", str(report["batch"])))
        rows.append(("throughput", f"{report['images_per_second']:.1f} images/s"))
    return rows


def _accuracy(report: Report) -> list[tuple[str, str]]:
    accuracy = report["accuracy"]
    return [
        ("top-1", percentage(accuracy["top1"])),
        ("images", f"{accuracy['images']:,} of {report['dataset']}"),
        ("predictions unlike ONNX Runtime's", f"{accuracy['differing_from_reference']:,}"),
        (
            "logits",
            logits_in_words(accuracy["logits_equal"], accuracy.get("logits_tolerance", 0.0)),
        ),
    ]


def _sizes(report: Report) -> list[tuple[str, str]]:
    size = report["size"]
    weights = sum(layer["weight_bytes"] for layer in report.get("layers", ()))
    return [
        ("peak memory of the runner", byte_size(report["memory"]["peak_rss_bytes"])),
        ("compiled model", byte_size(size["model_bytes"])),
        ("weights in it", byte_size(weights) if weights else ""),
        ("bundle", byte_size(size["bundle_bytes"])),
        ("pushed this time", _pushed(size)),
    ]


def _pushed(size: dict[str, Any]) -> str:
    seconds = size.get("push_seconds")  # reports of earlier versions do not tell it
    return byte_size(size["pushed_bytes"]) + (f" in {seconds:.1f} s" if seconds else "")


def _device(report: Report) -> list[tuple[str, str]]:
    device = report["device"]
    glibc = f"glibc {device['glibc']}" if device["glibc"] else "no glibc"
    return [
        ("name", device["name"]),
        ("board", device["board"]),
        ("processor", f"{device['cores']} x {device['cpu']} ({device['arch']})"),
        ("memory", byte_size(device["memory_bytes"])),
        ("system", f"{device['os']}, {device['kernel']}, {glibc}"),
        ("clock governor", device["governor"]),
    ]


def _conditions(report: Report) -> list[tuple[str, str]]:
    before, after = (report.get(f"health_{when}", {}) for when in ("before", "after"))
    load, throttled = before.get("load"), after.get("throttled")
    return [
        ("temperature", _pair(before.get("temperature"), after.get("temperature"), "°C")),
        ("clock", _pair(_clock(before), _clock(after), "MHz")),
        ("throttling", "" if throttled is None else _throttling(int(throttled))),
        ("load before", "" if load is None else f"{load:.2f} processes, average of one minute"),
    ]


def _clock(health: Report) -> float | None:
    """That of the fastest cores."""
    clocks = health.get("clocks", ())
    return max(clocks, key=lambda clock: clock["max"])["now"] if clocks else None


def _pair(before: float | None, after: float | None, unit: str) -> str:
    if before is None or after is None:
        return ""
    return f"{before:.0f} {unit} before, {after:.0f} {unit} after"


def _throttling(bits: int) -> str:
    names = throttle_names(bits | bits >> SINCE_BOOT)
    return f"{', '.join(names)} since it was switched on" if names else "none since switched on"


def _software(report: Report) -> list[tuple[str, str]]:
    return [
        ("network", report["model"]["name"]),
        ("sha256 of its ONNX file", report["model"]["sha256"]),
        ("built for", report["target"]),
        *((name, version) for name, version in report["versions"].items()),
    ]
