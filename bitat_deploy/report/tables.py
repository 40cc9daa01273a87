"""Tables for the terminal: a build's layers, a bench's result."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from bitat_deploy.compiler.layer_report import LayerReport
from bitat_deploy.device.bench_result import MEDIAN, MLPERF_SINGLE_STREAM, BenchResult
from bitat_deploy.report.baselines import baseline_table
from bitat_deploy.report.conditions import condition_rows
from bitat_deploy.report.document import bench_document
from bitat_deploy.report.formatting import byte_size, logits_in_words
from bitat_deploy.report.profile_table import profile_table

_RULES = {
    MEDIAN: "median",
    MLPERF_SINGLE_STREAM: "MLPerf single-stream: p90",
}


def layer_table(layers: Sequence[LayerReport]) -> RenderableType:
    """One row for each layer: binarized? fused? packed output? And below, if not, why not."""
    table = Table(
        title="Layers", title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False
    )
    table.add_column("layer", overflow="fold")
    table.add_column("kind", overflow="fold")
    table.add_column("output", no_wrap=True)
    table.add_column("bits", justify="right", no_wrap=True)
    # None of them is ever cut, so that a narrow terminal folds names and kinds instead.
    for question in ("binarized", "fused", "packed", "tuned"):
        table.add_column(question, no_wrap=True, min_width=len(question))
    for layer in layers:
        table.add_row(
            layer.name,
            layer.kind,
            "x".join(str(extent) for extent in layer.output_shape),
            f"{layer.weight_bits}/{layer.activation_bits}",
            _yes_or_no(layer.binarized),
            _yes_or_no(layer.fused),
            _yes_or_no(layer.packed_output),
            layer.tuned.partition(":")[0] or "-",
        )
    notes = [f"Why not, {layer.name}: {layer.reason}." for layer in layers if layer.reason]
    total = sum(layer.macs for layer in layers)
    binary = sum(layer.macs for layer in layers if layer.binarized)
    notes.append(
        f"Bits are those of weights/activations. Of {total / 1e6:.1f} million "
        f"multiply-accumulates {binary / max(total, 1):.1%} are binary."
    )
    origins = sorted({layer.tuned for layer in layers if layer.tuned})
    if origins:
        notes.append(f"Tuned by records from {escape('; '.join(origins))}; '-': no records.")
    return Group(table, *notes)


def bench_report(result: BenchResult) -> RenderableType:
    """The result as a table, under a banner where its times are not to be trusted."""
    table = Table(title="Bench", title_justify="left", show_header=False)
    table.add_column("what", style="bold", no_wrap=True)
    table.add_column("value", overflow="fold")
    for what, value in _rows(result):
        table.add_row(what, value)
    parts: list[RenderableType] = [_banner(result)] if result.not_trustworthy else []
    parts.append(table)
    if result.profile:
        parts += ["", profile_table(result)]
    if result.baselines:
        parts += ["", baseline_table(bench_document(result))]
    return Group(*parts)


def _banner(result: BenchResult) -> Panel:
    if result.device.emulated:  # other reasons do not matter then
        style = "red"
        lines = [
            "[bold]E M U L A T E D[/bold]",
            "The processor is emulated: accuracy and memory hold, the times are not those of "
            "hardware.",
        ]
    else:
        style = "yellow"
        lines = ["[bold]NOT TRUSTWORTHY[/bold]", "The times are not to be trusted, because"]
        lines += [f"- {escape(reason)}" for reason in result.not_trustworthy]
        lines.append(f"Remedies: bitat-deploy doctor --host {escape(result.device.name)}")
    return Panel("\n".join(lines), border_style=style, style=style, expand=False)


def _rows(result: BenchResult) -> list[tuple[str, str]]:
    device, latency, accuracy = result.device, result.latency, result.accuracy
    board = f"{device.board}, " if device.board else ""
    emulated = " (EMULATED)" if device.emulated else ""
    spread = ", ".join(
        f"{name} {getattr(latency, name):.3f}"
        for name in ("mean", "std", "min", "p50", "p90", "p99", "max")
    )
    rule = _RULES[latency.rule]
    logits = logits_in_words(accuracy.logits_equal, accuracy.logits_tolerance)
    memory = byte_size(device.memory_bytes)
    glibc = f"glibc {device.glibc}" if device.glibc else "no glibc"
    return [
        ("model", f"{result.model_name} ({result.model_sha256[:12]}), target {result.target}"),
        ("device", f"{device.name}: {board}{device.cores} x {device.cpu} ({device.arch})"),
        ("system", f"{device.os}, {device.kernel}, {glibc}, {memory} memory"),
        ("threads", str(result.threads)),
        *([("images at once", _batch(result))] if result.batch > 1 else []),
        (f"latency{emulated}", f"{latency.headline:.3f} ms ({rule} of {latency.runs} runs)"),
        ("", f"{spread} ms, after {latency.warmup} runs of warm-up"),
        ("", f"load {result.load_ms:.1f} ms, first image {result.first_inference_ms:.3f} ms"),
        ("accuracy", f"{accuracy.top1:.2%} top-1 on {accuracy.images:,} images, {result.dataset}"),
        ("reference", f"{accuracy.differing_from_reference} predictions differ; logits {logits}"),
        *condition_rows(result),
        ("peak memory", byte_size(result.peak_rss_bytes)),
        (
            "size",
            f"model {byte_size(result.model_bytes)}, bundle {byte_size(result.bundle_bytes)}, "
            f"pushed {byte_size(result.pushed_bytes)} in {result.push_seconds:.1f} s",
        ),
    ]


def _batch(result: BenchResult) -> str:
    return f"{result.batch} images per call, {result.images_per_second:.1f} images/s"


def _yes_or_no(value: bool) -> str:
    return "[green]yes[/green]" if value else "[yellow]no[/yellow]"
