"""What the terminal shows of drawn results, kept as text files in ``snapshots/``.

After a wanted change of the output renew them and look at the difference:

    python -m tests.report.snapshots && git diff tests/report/snapshots
"""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console, RenderableType

from bitat_deploy.device.bench_options import MLPERF_SINGLE_STREAM
from bitat_deploy.errors import ConnectionFailedError
from bitat_deploy.report import (
    bench_document,
    board_table,
    compare_reports,
    comparison_table,
    layer_table,
    terminal_report,
)
from tests.report.factory import LAYERS, PI, profile, report, result, twins

FOLDER = Path(__file__).with_name("snapshots")
WIDTHS = (80, 120)

_REASONS = (
    "the governor 'ondemand' may have changed the clock",
    "other processes used 0.7 cores during the run",
)
_EMULATED = replace(PI, name="pi@127.0.0.1:2225", board="", governor="", emulated=True)


def _sound() -> RenderableType:
    return terminal_report(bench_document(result()))


def _doubtful() -> RenderableType:
    document = bench_document(result(not_trustworthy=_REASONS, profile=profile(), threads=4))
    return terminal_report(document)


def _baseline() -> RenderableType:
    return terminal_report(bench_document(result(baselines=twins())))


def _emulated() -> RenderableType:
    changes = {"device": _EMULATED, "profile": profile(), "baselines": twins()}
    return terminal_report(bench_document(result(not_trustworthy=_REASONS, **changes)))


def _batch_by_mlperf() -> RenderableType:
    drawn = result(batch=4, layers=(), accuracy=replace(result().accuracy, logits_equal=False))
    latency = replace(drawn.latency, rule=MLPERF_SINGLE_STREAM)
    return terminal_report(bench_document(replace(drawn, latency=latency)))


def _boards() -> RenderableType:
    return board_table(
        [
            ("pi@kitchen", bench_document(result(baselines=twins()))),
            ("pi@garage", bench_document(result(2.0, not_trustworthy=_REASONS))),
            ("virtual", bench_document(result(device=_EMULATED, not_trustworthy=_REASONS))),
            ("pi@cellar", ConnectionFailedError("'pi@cellar' refuses connections; start its sshd")),
        ]
    )


def _comparison() -> RenderableType:
    after = report(1.1, seed=1, accuracy__top1=0.87, not_trustworthy=list(_REASONS))
    before = report(threads=2)
    return comparison_table(compare_reports(before, after), ("main", "branch"))


def _build() -> RenderableType:
    tuned = replace(LAYERS[1], tuned="device: Raspberry Pi 4 Model B")
    return layer_table((LAYERS[0], tuned, *LAYERS[2:]))


CASES: dict[str, Callable[[], RenderableType]] = {
    "sound": _sound,
    "doubtful-with-profile": _doubtful,
    "baseline": _baseline,
    "emulated": _emulated,
    "batch-by-mlperf": _batch_by_mlperf,
    "boards": _boards,
    "comparison": _comparison,
    "build": _build,
}


def text(case: str, width: int) -> str:
    """The output of ``case`` in a terminal of ``width`` columns."""
    file = io.StringIO()
    Console(file=file, width=width, color_system=None, _environ={}).print(CASES[case]())
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def path(case: str, width: int) -> Path:
    """Where its snapshot is."""
    return FOLDER / f"{case}-{width}.txt"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in CASES:
        for columns in WIDTHS:
            path(name, columns).write_text(text(name, columns), encoding="utf-8")
