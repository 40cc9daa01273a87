import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.bundle import read_bundle
from bitat_deploy.datasets import Dataset
from bitat_deploy.device import connect
from bitat_deploy.device.bench import bench
from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.device.bench_result import (
    MAXIMUM_SAMPLES,
    BenchResult,
    compare_logits,
    latency_statistics,
)
from bitat_deploy.report import bench_document, json_report, read_report, write_file
from tests.report.factory import result as drawn_result

CLASSES = tuple(f"class {index}" for index in range(10))


@pytest.fixture(scope="module")
def result(host_bundle: Path) -> BenchResult:
    bundle = read_bundle(host_bundle)
    generator = np.random.default_rng(0)
    shape = (20, *bundle.manifest.model.input_shape)
    images = generator.integers(256, size=shape, dtype=np.uint8)
    dataset = Dataset("drawn", images, generator.integers(10, size=20), CLASSES)
    with connect("local") as connection:
        return bench(bundle, connection, dataset, BenchOptions(min_runs=20, min_seconds=0))


def test_real_report_meets_the_schema(result: BenchResult, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_file(json_report(bench_document(result)), path)
    read = read_report(path)
    assert read == json.loads(json.dumps(bench_document(result)))
    assert len(read["latency_ms"]["samples"]) == read["latency_ms"]["runs"]
    assert np.sum(read["accuracy"]["confusion"]) == 20
    assert list(tmp_path.iterdir()) == [path]


def test_weights_derived_from_the_multiply_accumulates(result: BenchResult) -> None:
    layers = bench_document(result)["layers"]
    assert [layer["weight_bytes"] for layer in layers if layer["weight_bits"] == 0] == [0]
    for layer in layers:
        if layer["kind"].startswith("depthwise 3x3"):
            assert layer["weight_bytes"] == 9 * layer["output_shape"][-1] / 8


def test_folders_of_the_device_stay_out() -> None:
    keys = bench_document(drawn_result())["device"].keys()
    assert not keys & {"cache", "write_refusal", "execute_refusal", "other_folder"}


def test_share_of_the_full_clock() -> None:
    assert bench_document(drawn_result())["clock_share_at_maximum"] == pytest.approx(0.97)
    uncounted = dataclasses.replace(drawn_result().health_after, clocks=())
    document = bench_document(drawn_result(health_after=uncounted))
    assert "clock_share_at_maximum" not in document


def test_many_runs_are_thinned_evenly() -> None:
    latency = latency_statistics(np.arange(1, 10_001) * 1_000_000, warmup=0)
    assert latency.runs == 10_000
    assert len(latency.samples) == MAXIMUM_SAMPLES
    assert (latency.samples[0], latency.samples[-1]) == (1, 10_000)
    assert np.ptp(np.diff(latency.samples)) <= 1


def test_confusion_counts_true_by_predicted_class() -> None:
    logits = np.eye(3, dtype=np.float32)[[0, 1, 1, 2]]
    accuracy = compare_logits(logits, logits, _labelled([0, 0, 1, 2], ("a", "b", "c")))
    assert accuracy.confusion == ((1, 1, 0), (0, 1, 0), (0, 0, 1))
    assert not compare_logits(logits, logits, _labelled([0, 0, 1, 2], ("a", "b"))).confusion


def test_the_surest_mistakes_come_first() -> None:
    logits = np.array([[0, 1, 0], [9, 0, 0], [0, 0, 1], [0, 3, 0]], dtype=np.float32)
    dataset = _labelled([1, 1, 0, 2], ("a", "b", "c"))
    found = compare_logits(logits, logits, dataset).mistakes
    assert [(one.image, one.label, one.prediction) for one in found] == [
        (1, 1, 0),
        (3, 2, 1),
        (2, 0, 2),
    ]
    assert all((one.pixels == one.image).all() for one in found)
    assert not compare_logits(logits, logits, _labelled([1, 1, 0, 0], ("a", "b"))).mistakes


def _labelled(labels: list[int], names: tuple[str, ...]) -> Dataset:
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None].repeat(4, axis=1)
    return Dataset("drawn", images, np.array(labels), names)
