"""``bench --baseline``, with ONNX Runtime itself."""

import dataclasses
from pathlib import Path

import pytest

from bitat_deploy.baseline.baseline import Baseline
from bitat_deploy.baseline.prepare import prepare_baseline
from bitat_deploy.bundle import read_bundle
from bitat_deploy.device import connect
from bitat_deploy.device.bench import bench
from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.device.bench_result import BenchResult
from bitat_deploy.report import (
    bench_document,
    json_report,
    markdown_report,
    read_report,
    write_file,
)
from tests import bench_command
from tests.device.test_bench import draw_dataset
from tests.ssh_devices import LocalSshd


@pytest.fixture(scope="module")
def baseline(host_bundle: Path) -> Baseline:
    return prepare_baseline(read_bundle(host_bundle))


def measure(host_bundle: Path, baseline: Baseline) -> BenchResult:
    options = BenchOptions(min_runs=20, min_seconds=0, profile_runs=5)
    dataset = draw_dataset((20, 28, 28, 1))
    with connect("local") as connection:
        return bench(read_bundle(host_bundle), connection, dataset, options, baseline=baseline)


def test_twins_are_measured_as_the_network_is(
    host_bundle: Path, baseline: Baseline, tmp_path: Path
) -> None:
    result = measure(host_bundle, baseline)
    assert [one.name for one in result.baselines] == ["float32", "int8"]
    for one in result.baselines:
        assert one.run is not None, one.failure
        assert (one.run.latency.runs, one.run.latency.warmup) == (20, 10)
        assert 0 < one.run.latency.min <= one.run.latency.p50
        assert one.run.peak_rss_bytes > result.peak_rss_bytes
    write_file(json_report(bench_document(result)), tmp_path / "report.json")
    read = read_report(tmp_path / "report.json")
    for document, one in zip(read["baselines"], result.baselines, strict=True):
        ratio = one.run.latency.p50 / result.latency.p50
        low, high = document["latency_ratio_interval"]
        assert document["latency_ratio"] == pytest.approx(ratio)
        assert low <= ratio <= high


def test_a_runtime_that_fails_leaves_our_own_result(
    host_bundle: Path, baseline: Baseline, tmp_path: Path
) -> None:
    broken = tmp_path / "library.so"
    broken.write_bytes(b"no library")
    result = measure(host_bundle, dataclasses.replace(baseline, library=broken))
    assert result.accuracy.logits_equal and result.latency.runs == 20
    assert all("cannot be loaded" in one.failure for one in result.baselines)
    write_file(json_report(bench_document(result)), tmp_path / "report.json")
    report = read_report(tmp_path / "report.json")
    assert markdown_report(report).count("was not measured: the runner on") == 2


def test_over_ssh(host_bundle: Path, local_sshd: LocalSshd, tmp_path: Path) -> None:
    options = ("--baseline", "--min-seconds", "0")
    finished = bench_command.bench(host_bundle, local_sshd, tmp_path / "report.json", *options)
    twins = finished.json()["baselines"]
    assert [twin["latency_ms"]["runs"] for twin in twins] == [50, 50]
    assert "int8 twin" in finished.stdout
    assert "not accuracy" in " ".join(finished.stdout.split())
