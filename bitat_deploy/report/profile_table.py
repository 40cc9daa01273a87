"""The table of what each layer took."""

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from bitat_deploy.device.bench_result import BenchResult


def profile_table(result: BenchResult) -> RenderableType:
    """One row for each layer of a bench with a profile."""
    times = result.profile
    emulated = " (EMULATED)" if result.device.emulated else ""
    per_cycle = any(time.macs_per_cycle is not None for time in times)
    table = Table(
        title=f"Profile{emulated}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    for name in ("layer", "kind"):
        table.add_column(name, no_wrap=True)
    for name in ("bits", "ms", "share", "GMAC/s", *(["MAC/cycle"] * per_cycle)):
        table.add_column(name, justify="right", no_wrap=True)
    for time in times:
        layer = time.layer
        cells = [
            escape(layer.name),
            escape(layer.kind),
            f"{layer.weight_bits}/{layer.activation_bits}",
            f"{time.ms:.4f}",
            f"{time.share:.1%}",
            f"{time.macs_per_second / 1e9:.2f}" if layer.macs else "",
        ]
        if per_cycle:
            known = layer.macs and time.macs_per_cycle is not None
            cells.append(f"{time.macs_per_cycle:.2f}" if known else "")
        table.add_row(*cells)
    total = sum(time.ms for time in times)
    note = (
        f"The layers take {total:.4f} ms together; a whole run takes {result.latency.p50:.4f} ms "
        "(median). Bits are those of weights/activations; where both are 1, the "
        "multiply-accumulates (MAC) are binary."
    )
    return Group(table, note)
