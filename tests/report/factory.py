"""Reports made by hand, shaped like real ones."""

from typing import Any

import numpy as np

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress")


def report(
    latency: float = 1.0, spread: float = 0.01, runs: int = 400, seed: int = 0, **changes: Any
) -> dict[str, Any]:
    """A sound report; ``changes`` are dotted keys with __ for the dot: ``device__cpu="x"``."""
    samples = latency * np.random.default_rng(seed).normal(1, spread, runs).clip(0.5)
    p50, p90, p99 = np.percentile(samples, [50, 90, 99])
    document: dict[str, Any] = {
        "schema_version": 1,
        "model": {"name": "mobilenet-v1-0.5-fashion-mnist", "sha256": "5a" * 32},
        "target": "rpi4",
        "dataset": "fashion-mnist",
        "device": {
            "name": "pi@device",
            "arch": "aarch64",
            "cpu": "Cortex-A72",
            "features": ["asimd", "fp"],
            "board": "Raspberry Pi 4 Model B Rev 1.5",
            "os": "Debian GNU/Linux 12 (bookworm)",
            "kernel": "Linux 6.12.34+rpt-rpi-v8",
            "glibc": "2.36",
            "cores": 4,
            "memory_bytes": 3_977_089_024,
            "free_disk_bytes": 20_000_000_000,
            "governor": "ondemand",
            "emulated": False,
            "cache": "/home/pi/.cache",
        },
        "threads": 1,
        "load_ms": 12.5,
        "first_inference_ms": 3.25,
        "latency_ms": {
            "mean": float(samples.mean()),
            "std": float(samples.std()),
            "min": float(samples.min()),
            "p50": float(p50),
            "p90": float(p90),
            "p99": float(p99),
            "max": float(samples.max()),
            "runs": runs,
            "warmup": 10,
            "samples": samples.tolist(),
        },
        "accuracy": {
            "top1": 0.86,
            "images": 1000,
            "differing_from_reference": 0,
            "logits_equal": True,
            "class_names": list(CLASSES),
            "confusion": [[200, 5, 25, 20], [2, 245, 1, 2], [40, 0, 195, 15], [20, 5, 5, 220]],
        },
        "memory": {"peak_rss_bytes": 9_000_000},
        "size": {"model_bytes": 400_000, "bundle_bytes": 5_200_000, "pushed_bytes": 0},
        "versions": {"bitat-deploy": "0.1.0", "apache-tvm": "0.27.0.post1"},
        "layers": [
            _layer("stem", "conv 3x3, stride 1", [28, 28, 16], 8, 112_896, 144),
            _layer("block0.depthwise", "depthwise 3x3, stride 1", [28, 28, 16], 1, 112_896, 18),
            _layer("block0.pointwise", "pointwise 1x1", [28, 28, 32], 1, 401_408, 64),
            _layer("pool", "global bit count", [32], 0, 0, 0),
            _layer("classifier", "dense", [4], 8, 128, 128),
        ],
        "health_before": _health(600.0, 48.5),
        "health_after": _health(1500.0, 61.0),
        "not_trustworthy": [],
    }
    for name, value in changes.items():
        *parents, key = name.split("__")
        place = document
        for parent in parents:
            place = place[parent]
        place[key] = value
    return document


def _health(clock: float, temperature: float) -> dict[str, Any]:
    return {
        "clocks": [{"cores": [0, 1, 2, 3], "now": clock, "min": 600.0, "max": 1500.0}],
        "temperature": temperature,
        "throttled": 0x50000,
        "load": 0.12,
    }


def _layer(
    name: str, kind: str, shape: list[int], bits: int, macs: int, size: int
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "output_shape": shape,
        "weight_bits": bits,
        "activation_bits": bits or 1,
        "macs": macs,
        "weight_bytes": size,
    }
