"""What the host says of a runner that fails: real bundles, on this machine."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.bundle import read_bundle
from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.device.execution import pushed_bundle, run_runner
from bitat_deploy.device.inspect import inspect_device
from bitat_deploy.device.local import LocalConnection
from bitat_deploy.errors import (
    BitatDeployError,
    BundleError,
    DeviceUnsuitableError,
    RunFailedError,
)

OLD_USAGE = "echo \"error: unknown option '--profile-runs'; see runner --help\" >&2; exit 2"
OLD_RESULT = 'echo \'{"durations_ns": [1], "warmup": 0}\''
NO_MEMORY = "echo 'error: not enough memory; end other programs on this device' >&2; exit 6"


def with_runner(script: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "runner").write_text(f"#!/bin/sh\n{script}\n")

    return change


def without_library(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = [file for file in manifest["files"] if "libtvm_ffi" not in file["path"]]
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (with_runner(OLD_USAGE), BundleError, "build the bundle again"),
        (with_runner(OLD_RESULT), BundleError, "build the bundle again"),
        (with_runner("echo nothing"), RunFailedError, "printed no result"),
        (
            with_runner("echo 'progress accuracy 1'$(printf '%05000d' 0)' 1' >&2; exit 255"),
            RunFailedError,
            "ended with exit code 255|failed: progress",
        ),
        (with_runner(NO_MEMORY), DeviceUnsuitableError, "too little memory"),
        (without_library, RunFailedError, r"cannot start.*libtvm_ffi\.so.*build the bundle again"),
    ],
)
def test_runner_that_fails(
    change: Callable[[Path], None],
    error: type[BitatDeployError],
    sentence: str,
    host_bundle: Path,
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(host_bundle, tmp_path / "bundle")
    change(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        content = (folder / file["path"]).read_bytes()
        file.update(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    images = np.zeros((1, 28, 28, 1), np.uint8)
    bundle = read_bundle(folder)

    def progress(stage: str, done: int, total: int) -> None: ...

    with LocalConnection() as connection:
        device = inspect_device(connection)
        with (
            pushed_bundle(bundle, connection, device, images, progress) as run,
            pytest.raises(error, match=sentence),
        ):
            options = BenchOptions(profile_runs=5, min_seconds=0)
            run_runner(bundle, device, run, options, progress)
