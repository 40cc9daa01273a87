"""Bench results drawn from a seed, and the documents made of them."""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from bitat_deploy.compiler.layer_report import LayerReport
from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.device.bench_result import (
    Accuracy,
    BaselineResult,
    BenchResult,
    Mistake,
    TwinRun,
    latency_statistics,
)
from bitat_deploy.device.health import Clock, Health
from bitat_deploy.device.inspect import Device
from bitat_deploy.device.profile import layer_times
from bitat_deploy.report import bench_document
from bitat_deploy.target import load_target

_PIXELS = np.zeros((28, 28, 1), np.uint8)
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress")
FAILURE = "the runner on 'pi' was killed"

PI = Device(
    name="pi@device",
    arch="aarch64",
    cpu="Cortex-A72",
    features=frozenset({"asimd", "fp"}),
    board="Raspberry Pi 4 Model B Rev 1.5",
    os="Debian GNU/Linux 12 (bookworm)",
    kernel="Linux 6.12.34+rpt-rpi-v8",
    glibc="2.36",
    cores=4,
    memory_bytes=3_977_089_024,
    free_disk_bytes=20_000_000_000,
    governor="ondemand",
    emulated=False,
    cache="/home/pi/.cache",
)


def _layer(name: str, kind: str, shape: tuple[int, ...], bits: int, macs: int) -> LayerReport:
    binary = bits == 1
    reason = "" if binary else "it has weights of 8 bits"
    return LayerReport(
        name, kind, shape, shape, bits, bits or 1, macs, binary, binary, binary, reason
    )


LAYERS = (
    _layer("stem", "conv 3x3, stride 1", (28, 28, 16), 8, 112_896),
    _layer("block0.depthwise", "depthwise 3x3, stride 1", (28, 28, 16), 1, 112_896),
    _layer("block0.pointwise", "pointwise 1x1", (28, 28, 32), 1, 401_408),
    _layer("pool", "global bit count", (32,), 0, 0),
    _layer("classifier", "dense", (4,), 8, 128),
)


def result(
    latency: float = 1.0, spread: float = 0.01, runs: int = 400, seed: int = 0, **changes: Any
) -> BenchResult:
    """A sound result: ``runs`` around ``latency`` ms; ``changes`` are fields of BenchResult."""
    sound = BenchResult(
        model_name="mobilenet-v1-0.5-fashion-mnist",
        model_sha256="5a" * 32,
        model_metadata={"dataset": "fashion-mnist", "recipe": "fashion-mnist", "seed": "1"},
        target=load_target("rpi4"),
        dataset="fashion-mnist",
        device=PI,
        measured_at="2026-11-27T18:00:00Z",
        options=BenchOptions(),
        threads=1,
        load_ms=12.5,
        first_inference_ms=3.25,
        latency=latency_statistics(_nanoseconds(latency, spread, runs, seed), warmup=10),
        accuracy=Accuracy(
            0.86,
            1000,
            0,
            True,
            CLASSES,
            ((200, 5, 25, 20), (2, 245, 1, 2), (40, 0, 195, 15), (20, 5, 5, 220)),
            mistakes=(Mistake(7, "7.png", 0, 2, _PIXELS), Mistake(3, "", 2, 0, _PIXELS)),
        ),
        peak_rss_bytes=9_000_000,
        model_bytes=400_000,
        bundle_bytes=5_200_000,
        pushed_bytes=0,
        push_seconds=0.25,
        versions={"bitat-deploy": "0.1.0", "apache-tvm": "0.27.0.post1"},
        health_before=_health(600.0, 48.5, 100.0),
        health_after=_health(1500.0, 61.0, 197.0),
        not_trustworthy=(),
        layers=LAYERS,
    )
    return replace(sound, **changes)


def profile() -> Any:
    """What each of LAYERS took at 1500 MHz."""
    nanoseconds = (300_000, 80_000, 500_000, 20_000, 100_000)
    symbols = (f"layer{i}_{layer.name.replace('.', '_')}" for i, layer in enumerate(LAYERS))
    measured = [{"name": n, "ns": ns} for n, ns in zip(symbols, nanoseconds, strict=True)]
    return layer_times(LAYERS, measured, 1500.0)


def twins() -> tuple[BaselineResult, ...]:
    """A float32 twin of five times the latency, and an int8 twin that failed."""
    latency = latency_statistics(_nanoseconds(5.0, 0.01, 400, 1), warmup=10)
    run = TwinRun(20.0, 8.0, latency, 31_000_000, ("the clock changed",))
    runtime = ("ONNX Runtime 1.31.1", 750_000, 25_000_000)
    return (
        BaselineResult("float32", *runtime, run),
        BaselineResult("int8", *runtime, None, FAILURE),
    )


def report(
    latency: float = 1.0, spread: float = 0.01, runs: int = 400, seed: int = 0, **changes: Any
) -> dict[str, Any]:
    """The document of a sound result, as a file holds it.

    ``changes`` are dotted keys with __ for the dot: ``device__cpu="x"``.
    """
    made = bench_document(result(latency, spread, runs, seed))
    document: dict[str, Any] = json.loads(json.dumps(made))
    for name, value in changes.items():
        *parents, key = name.split("__")
        place = document
        for parent in parents:
            place = place[parent]
        place[key] = value
    return document


def _nanoseconds(latency: float, spread: float, runs: int, seed: int) -> Any:
    draws = np.random.default_rng(seed).normal(1, spread, runs)
    return 1e6 * latency * draws.clip(0.5)


def _health(clock: float, temperature: float, seconds: float) -> Health:
    """``seconds`` since boot were spent at the full 1500 MHz, 3 of 100 of them lower."""
    times = ((600.0, 0.03 * seconds), (1500.0, 0.97 * seconds))
    return Health(
        clocks=(Clock((0, 1, 2, 3), clock, 600.0, 1500.0, 1500.0, "ondemand", "", times),),
        temperature=temperature,
        temperature_limit=80.0,
        throttled=0x50000,
        load=0.12,
        free_memory_bytes=3_000_000_000,
        clock_skew=0,
        uptime_seconds=seconds,
        busy_seconds=seconds,
        stolen_seconds=0.0,
    )
