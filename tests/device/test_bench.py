"""A bench of this machine, and the arithmetic behind its figures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from bitat_deploy.bundle import read_bundle
from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.datasets import Dataset
from bitat_deploy.device import bench, connect
from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.device.bench_result import compare_logits, latency_statistics
from bitat_deploy.errors import DeviceUnsuitableError, InputError
from bitat_deploy.onnx_format import to_onnx
from bitat_deploy.report import bench_document
from bitat_deploy.target import load_target
from tests.drawn_networks import draw_network

QUICK = BenchOptions(min_seconds=0)


def draw_dataset(shape: tuple[int, ...]) -> Dataset:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, shape, dtype=np.uint8)
    labels = random.integers(0, 10, shape[0])
    return Dataset("drawn", images, labels, tuple("0123456789"))


def test_this_machine(host_bundle: Path) -> None:
    stages = set()
    with connect("local") as connection:
        result = bench(
            read_bundle(host_bundle),
            connection,
            draw_dataset((100, 28, 28, 1)),
            QUICK,
            lambda stage, done, total: stages.add(stage),
        )
    assert result.accuracy.logits_equal
    assert (result.accuracy.images, result.accuracy.differing_from_reference) == (100, 0)
    assert (result.latency.runs, result.latency.warmup, result.threads) == (50, 10, 1)
    assert 0 < result.latency.min <= result.latency.p50 <= result.latency.p99
    assert result.bundle_bytes > result.model_bytes > 0
    assert any("pushing" in stage for stage in stages)


def test_images_of_another_size(host_bundle: Path) -> None:
    with pytest.raises(InputError, match=r"32x32x3.*28x28x1"):
        bench(read_bundle(host_bundle), connect("local"), draw_dataset((2, 32, 32, 3)), QUICK)


def test_several_images_at_once(tmp_path: Path) -> None:
    """The last batch is not full; every image has its own logits."""
    model = tmp_path / "model.onnx"
    onnx.save(to_onnx(draw_network(seed=2, input_shape=(28, 28, 1))), model)
    bundle = build_bundle(model, load_target("host"), tmp_path / "bundle", batch=4)
    dataset = draw_dataset((11, 28, 28, 1))
    result = bench(bundle, connect("local"), dataset, replace(QUICK, profile_runs=5))
    assert (result.batch, result.accuracy.images) == (4, 11)
    assert result.accuracy.logits_equal
    assert result.images_per_second == pytest.approx(4e3 / result.latency.p50)
    assert bench_document(result)["batch"] == 4


def test_network_with_unnamed_classes(host_bundle: Path) -> None:
    bundle = read_bundle(host_bundle)
    model = replace(bundle.manifest.model, class_names=())
    unnamed = replace(bundle, manifest=replace(bundle.manifest, model=model))
    result = bench(unnamed, connect("local"), draw_dataset((3, 28, 28, 1)), QUICK)
    assert result.accuracy.logits_equal


def test_more_threads_than_cores(host_bundle: Path) -> None:
    options = replace(QUICK, threads=1024)
    with pytest.raises(InputError, match="too few for 1024 threads; choose --threads"):
        bench(read_bundle(host_bundle), connect("local"), draw_dataset((2, 28, 28, 1)), options)


def test_bundle_for_another_machine(rpi4_bundle: Path) -> None:
    with pytest.raises(DeviceUnsuitableError, match=r"x86_64.*aarch64"):
        bench(read_bundle(rpi4_bundle), connect("local"), draw_dataset((2, 28, 28, 1)), QUICK)


def test_latency_statistics() -> None:
    latency = latency_statistics([n * 1_000_000 for n in range(1, 102)], warmup=7)
    assert (latency.mean, latency.min, latency.max) == (51, 1, 101)
    assert (latency.p50, latency.p90, latency.p99) == (51, 91, 100)
    assert latency.std == pytest.approx(np.std(range(1, 102)))
    assert (latency.runs, latency.warmup) == (101, 7)


def test_compare_logits() -> None:
    reference = np.array([[0, 1], [1, 0], [0, 1], [1, 0]], dtype=np.float32)
    labels = Dataset("drawn", np.zeros((4, 1, 1, 1), np.uint8), np.array([1, 0, 0, 0]), ())
    same = compare_logits(reference.copy(), reference, labels)
    assert (same.top1, same.differing_from_reference, same.logits_equal) == (0.75, 0, True)
    logits = reference.copy()
    logits[0] = [5, 1]
    other = compare_logits(logits, reference, labels)
    assert (other.top1, other.differing_from_reference, other.logits_equal) == (0.5, 1, False)
