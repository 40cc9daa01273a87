"""The profile of a bench on this machine, its arithmetic, and MLPerf's rule."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bitat_deploy.bundle import read_bundle
from bitat_deploy.compiler.layer_report import LayerReport, layer_symbols
from bitat_deploy.device import connect
from bitat_deploy.device.bench import bench
from bitat_deploy.device.bench_options import MLPERF_SINGLE_STREAM, BenchOptions
from bitat_deploy.device.bench_result import BenchResult
from bitat_deploy.device.health import Clock, Health
from bitat_deploy.device.profile import layer_times, steady_clock
from bitat_deploy.errors import RunFailedError
from bitat_deploy.report import bench_document, terminal_report
from bitat_deploy.report.formatting import duration, microseconds
from tests.device.test_bench import draw_dataset

LAYERS = tuple(
    LayerReport(name, "pointwise 1x1", (1, 1, 8), (1, 1, 8), 1, 1, macs, True, True, True, "")
    for name, macs in (("a.b", 1000), ("a_b", 3000))
)


@pytest.fixture(scope="module")
def result(host_bundle: Path) -> BenchResult:
    bundle = read_bundle(host_bundle)
    options = BenchOptions(profile_runs=30).single_stream()
    options = replace(options, min_runs=50, min_seconds=0)  # nobody waits a minute for a test
    with connect("local") as connection:
        return bench(bundle, connection, draw_dataset((20, 28, 28, 1)), options)


def test_profile_of_this_machine(result: BenchResult, host_bundle: Path) -> None:
    layers = read_bundle(host_bundle).manifest.layers
    assert tuple(time.layer for time in result.profile) == layers
    assert all(time.ms > 0 for time in result.profile)
    assert sum(time.share for time in result.profile) == pytest.approx(1)
    assert result.accuracy.logits_equal
    document = bench_document(result)
    assert [layer["ms"] for layer in document["layers"]] == [time.ms for time in result.profile]


def test_report_shows_profile_and_rule(result: BenchResult) -> None:
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(terminal_report(bench_document(result)))
    text = console.export_text()
    for time in result.profile:
        assert microseconds(time.ms) in text
    assert result.latency.rule == MLPERF_SINGLE_STREAM
    assert duration(result.latency.p90) in text and "MLPerf single-stream p90" in text
    assert bench_document(result)["latency_ms"]["rule"] == MLPERF_SINGLE_STREAM


def test_single_stream_rule() -> None:
    options = BenchOptions(threads=2).single_stream()
    assert (options.min_runs, options.min_seconds, options.threads) == (1024, 60, 2)
    assert options.max_seconds > 3600  # or a slow device would end too early


def test_arithmetic() -> None:
    symbols = layer_symbols([layer.name for layer in LAYERS])
    assert len(set(symbols)) == 2
    measured = [{"name": name, "ns": ns} for name, ns in zip(symbols, (500, 1500), strict=True)]
    first, second = layer_times(LAYERS, measured, 2000.0)
    assert (first.ms, first.share, second.share) == (0.0005, 0.25, 0.75)
    assert first.macs_per_second == pytest.approx(2e9)
    assert first.macs_per_cycle == second.macs_per_cycle == 1
    assert layer_times(LAYERS, measured, None)[0].macs_per_cycle is None
    with pytest.raises(RunFailedError, match="build the bundle again"):
        layer_times(LAYERS, measured[:1], None)


def test_steady_clock() -> None:
    def health(now: float, governor: str, *seconds_at: tuple[float, float]) -> Health:
        clock = Clock((0, 1), now, 600, 1500, 1500, governor, "cpufreq-dt", seconds_at)
        return Health((clock,), *[None] * 5, 0, None, None, None)  # type: ignore[arg-type]

    fixed = health(1500, "performance")
    assert steady_clock(fixed, fixed) == 1500
    assert steady_clock(fixed, health(1200, "performance")) is None
    adjusting = health(1500, "ondemand")
    assert steady_clock(adjusting, adjusting) is None
    start = health(600, "ondemand", (600, 10), (1500, 10))
    assert steady_clock(start, health(600, "ondemand", (600, 10), (1500, 20))) == 1500
    assert steady_clock(start, health(600, "ondemand", (600, 15), (1500, 20))) is None
    assert steady_clock(replace(fixed, clocks=()), replace(fixed, clocks=())) is None
