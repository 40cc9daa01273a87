"""A network beside its twins in float32 and int8, for every form of report."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bitat_deploy.device.bench_result import MLPERF_SINGLE_STREAM
from bitat_deploy.report.formatting import byte_size, duration

Report = Mapping[str, Any]

HEADER = ("network", "latency", "ratio (99 % interval)", "model", "peak memory")


def baseline_rows(report: Report) -> list[tuple[str, ...]]:
    """Cells under HEADER: the network, then its twins; empty where the report has none."""
    if not report.get("baselines"):
        return []
    own = (
        "binarized",
        duration(_headline(report["latency_ms"])),
        "1",
        byte_size(report["size"]["model_bytes"]),
        byte_size(report["memory"]["peak_rss_bytes"]),
    )
    return [own, *(_twin(baseline) for baseline in report["baselines"])]


def baseline_notes(report: Report) -> list[str]:
    """What has to be known to read the rows, one sentence or two each."""
    baselines = report.get("baselines", ())
    if not baselines:
        return []
    first = baselines[0]
    threads = f"{report['threads']} thread{'' if report['threads'] == 1 else 's'}"
    notes = [
        f"The twins ran in {first['runtime']} (library {byte_size(first['runtime_bytes'])}) with "
        f"all its optimizations, on the same device in the same session, with {threads}. The "
        "ratio is a twin's latency over the binarized network's.",
        "The twins have the network's shapes and untrained weights: they serve for latency and "
        "size, not for accuracy.",
    ]
    emulated = report["device"]["emulated"]
    if emulated:
        notes.append("The processor is emulated: hardware has other ratios.")
    known = report.get("not_trustworthy", ())
    for baseline in baselines:
        if "failure" in baseline:
            notes.append(f"The {baseline['name']} twin was not measured: {baseline['failure']}.")
        reasons = [one for one in baseline.get("not_trustworthy", ()) if one not in known]
        if reasons and not emulated:
            notes.append(f"The {baseline['name']} twin's times are doubtful: {'; '.join(reasons)}.")
    return notes


def baseline_table(report: Report) -> RenderableType:
    """The rows and notes for the terminal."""
    emulated = " (EMULATED)" if report["device"]["emulated"] else ""
    table = Table(
        title=f"Baseline{emulated}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for index, name in enumerate(HEADER):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in baseline_rows(report):
        table.add_row(*row)
    return Group(table, *(Text(note) for note in baseline_notes(report)))


def _twin(baseline: Report) -> tuple[str, ...]:
    name, size = f"{baseline['name']} twin", byte_size(baseline["model_bytes"])
    if "failure" in baseline:
        return name, "failed", "", size, ""
    ratio = f"{baseline['latency_ratio']:.2f}"
    if "latency_ratio_interval" in baseline:
        low, high = baseline["latency_ratio_interval"]
        ratio += f" ({low:.2f} to {high:.2f})"
    latency = duration(_headline(baseline["latency_ms"]))
    return name, latency, ratio, size, byte_size(baseline["peak_rss_bytes"])


def _headline(latency: Report) -> float:
    """The figure that stands for all runs, in milliseconds."""
    key = "p90" if latency.get("rule") == MLPERF_SINGLE_STREAM else "p50"
    return float(latency[key])
