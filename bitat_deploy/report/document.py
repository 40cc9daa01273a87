"""A bench result as a JSON document."""

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bitat_deploy.device.bench_result import BenchResult
from bitat_deploy.errors import InputError

SCHEMA_VERSION = 1


def bench_document(result: BenchResult) -> dict[str, Any]:
    """The result as plain JSON values; times in milliseconds, sizes in bytes."""
    device = asdict(result.device)
    device["features"] = sorted(device["features"])
    return {
        "schema_version": SCHEMA_VERSION,
        "model": {"name": result.model_name, "sha256": result.model_sha256},
        "target": result.target,
        "dataset": result.dataset,
        "device": device,
        "threads": result.threads,
        "load_ms": result.load_ms,
        "first_inference_ms": result.first_inference_ms,
        "latency_ms": asdict(result.latency),
        "accuracy": asdict(result.accuracy),
        "memory": {"peak_rss_bytes": result.peak_rss_bytes},
        "size": {
            "model_bytes": result.model_bytes,
            "bundle_bytes": result.bundle_bytes,
            "pushed_bytes": result.pushed_bytes,
        },
        "versions": result.versions,
        "health_before": asdict(result.health_before),
        "health_after": asdict(result.health_after),
        "not_trustworthy": list(result.not_trustworthy),
    }


def check_writable(path: Path) -> None:
    """Raise InputError where no JSON file can be written, before anything is measured."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(
            f"'{path}' cannot be written; --json needs a file name in a folder that exists"
        )


def write_document(result: BenchResult, path: Path) -> None:
    """Write the JSON document to ``path``, complete or not at all."""
    text = json.dumps(bench_document(result), indent=2) + "\n"
    try:
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=path.parent) as workspace:
            unfinished = Path(workspace) / "document"
            unfinished.write_text(text)
            unfinished.replace(path)
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}") from error
