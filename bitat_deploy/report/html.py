"""A report as one HTML page that opens offline: style and charts are in it, no scripts."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bitat_deploy.report import charts
from bitat_deploy.report.baselines import HEADER, baseline_notes, baseline_rows
from bitat_deploy.report.formatting import byte_size, duration, percentage
from bitat_deploy.report.summary import banner, class_results, dimensions, facts

# A matrix of more classes cannot be read; then only the classes that fared worst are listed.
_MATRIX_CLASSES = 30


def html_report(report: Mapping[str, Any]) -> str:
    """The page for a report as :func:`read_report` or :func:`bench_document` give it."""
    environment = Environment(
        loader=PackageLoader("bitat_deploy.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(byte_size=byte_size, duration=duration, percentage=percentage)
    device, latency, accuracy = report["device"], report["latency_ms"], report["accuracy"]
    classes = class_results(report)
    readable = 0 < len(classes) <= _MATRIX_CLASSES
    if not readable:
        classes = sorted(classes, key=lambda one: one.accuracy)[:_MATRIX_CLASSES]
    return environment.get_template("page.html.jinja").render(
        report=report,
        where=device["board"] or device["cpu"],
        banner=banner(report),
        facts=facts(report),
        baseline_header=HEADER,
        baseline_rows=baseline_rows(report),
        baseline_notes=baseline_notes(report),
        histogram=_histogram(latency),
        classes=classes,
        all_classes=readable,
        matrix=charts.confusion_matrix(accuracy["class_names"], accuracy["confusion"])
        if readable
        else "",
        layers=_layers(report),
        bar=charts.bar,
    )


def _histogram(latency: Mapping[str, Any]) -> str:
    if "samples" not in latency:
        return ""
    marks = [(name, latency[name]) for name in ("p50", "p90", "p99")]
    return charts.histogram(latency["samples"], marks)


def _layers(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The layers with their shares of the whole and of the largest."""
    layers = report.get("layers", ())
    time = sum(layer.get("ms", 0) for layer in layers)
    slowest = max((layer.get("ms", 0) for layer in layers), default=0) or 1
    largest = max((layer["weight_bytes"] for layer in layers), default=0) or 1
    return [
        {
            **layer,
            "output": dimensions(layer),
            "ms": layer.get("ms"),
            "time_share": layer.get("ms", 0) / time if time else None,
            "time_bar": layer.get("ms", 0) / slowest,
            "size_bar": layer["weight_bytes"] / largest,
        }
        for layer in layers
    ]
