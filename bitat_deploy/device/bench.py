"""Measuring a bundle on a device: push, run, compare with the host's reference."""

import hashlib
import json
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.bundle import Bundle
from bitat_deploy.bundle.bundle import MODEL_LIBRARY, MODEL_ONNX, RUNNER
from bitat_deploy.datasets import Dataset
from bitat_deploy.device.bench_result import (
    MEDIAN,
    MLPERF_SINGLE_STREAM,
    BenchResult,
    compare_logits,
    latency_statistics,
)
from bitat_deploy.device.connection import Connection, Result
from bitat_deploy.device.health import read_health
from bitat_deploy.device.inspect import Device, inspect_device
from bitat_deploy.device.profile import LayerTime, layer_times, steady_clock
from bitat_deploy.device.push import Pushed, PushFile, pushed
from bitat_deploy.device.reference import cached_reference_logits
from bitat_deploy.device.suitability import check_suitable
from bitat_deploy.device.trust import reasons_for_distrust
from bitat_deploy.errors import DeviceUnsuitableError, InputError, RunFailedError

_IMAGES, _LOGITS = "images", "logits"

# $1 is the run folder, the rest a command. A shell that waits, rather than becoming the command,
# turns a signal into an exit code, which SSH alone would not pass on.
_RUN = 'cd "$1" && shift && "$@"; exit $?'


@dataclass(frozen=True)
class BenchOptions:
    """How to measure: at least ``min_runs`` and ``min_seconds``, after ``warmup`` runs.

    Measuring ends at ``max_runs`` or ``max_seconds`` in any case. Over ``profile_runs`` more runs
    each layer is timed by itself. ``rule`` is as in Latency.
    """

    threads: int = 1
    warmup: int = 10
    min_runs: int = 50
    min_seconds: float = 1.0
    max_runs: int = 1_000_000
    max_seconds: float = 120.0
    profile_runs: int = 0
    rule: str = MEDIAN

    def single_stream(self) -> "BenchOptions":
        """These options, but by the rule of MLPerf Inference's single-stream scenario.

        It asks for at least 1,024 queries and 60 seconds, and gives the 90th percentile.
        """
        return replace(
            self,
            min_runs=1024,
            min_seconds=60.0,
            max_runs=1_000_000_000,
            max_seconds=1e6,
            rule=MLPERF_SINGLE_STREAM,
        )


# Told what is going on: stage, how much of it is done, how much there is (0: unknown).
Progress = Callable[[str, int, int], None]


def bench(
    bundle: Bundle,
    connection: Connection,
    dataset: Dataset,
    options: BenchOptions | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> BenchResult:
    """Measure latency, and accuracy over all of ``dataset``, with the same program.

    Raises InputError where the data set does not fit the network, DeviceUnsuitableError,
    RunFailedError.
    """
    options = options or BenchOptions()
    _check_dataset(bundle, dataset)
    progress("asking the device what it is", 0, 0)
    device = inspect_device(connection)
    with tempfile.TemporaryDirectory(prefix="bitat-deploy-") as workspace:
        images = Path(workspace) / _IMAGES
        images.write_bytes(dataset.images.tobytes())
        images_sha256 = hashlib.sha256(dataset.images.tobytes()).hexdigest()
        files = [
            PushFile(bundle.directory / f.path, f.path, f.sha256, f.size, f.executable)
            for f in bundle.pushed_files
        ]
        files.append(PushFile(images, _IMAGES, images_sha256, images.stat().st_size))
        total = sum(file.size for file in files)
        check_suitable(device, bundle.manifest.target, total)
        sent = 0

        def on_bytes(count: int) -> None:
            nonlocal sent
            sent += count
            progress("pushing", sent, total)

        with pushed(connection, device.cache, bundle.identity, files, on_bytes) as place:
            before = read_health(connection)
            document = _run(bundle, connection, device, place, options, progress)
            after = read_health(connection)
            logits = _fetch_logits(connection, place, document)
    count = len(dataset.images)
    model = bundle.manifest.model
    reference = cached_reference_logits(
        bundle.directory / MODEL_ONNX,
        model.sha256,
        dataset.images,
        images_sha256,
        lambda done: progress("computing the reference on this machine, once", done, count),
    )
    latency = latency_statistics(document["durations_ns"], document["warmup"], options.rule)
    profile: tuple[LayerTime, ...] = ()
    if options.profile_runs:
        clock = steady_clock(before, after)
        profile = layer_times(bundle.manifest.layers, document["layers_ns"], clock)
    # Runners of earlier bundles do not tell it.
    runner_seconds = document["cpu_ns"] / 1e9 if "cpu_ns" in document else None
    return BenchResult(
        model_name=model.name,
        model_sha256=model.sha256,
        target=bundle.manifest.target.name,
        dataset=dataset.name,
        device=device,
        threads=document["threads"],
        load_ms=document["load_ns"] / 1e6,
        first_inference_ms=document["first_inference_ns"] / 1e6,
        latency=latency,
        accuracy=compare_logits(logits, reference, dataset.labels, dataset.class_names),
        peak_rss_bytes=document["peak_rss_bytes"],
        model_bytes=bundle.model_size,
        bundle_bytes=bundle.size,
        pushed_bytes=place.bytes_sent,
        versions=bundle.manifest.versions,
        health_before=before,
        health_after=after,
        not_trustworthy=reasons_for_distrust(device, before, after, latency, runner_seconds),
        layers=bundle.manifest.layers,
        profile=profile,
    )


def _check_dataset(bundle: Bundle, dataset: Dataset) -> None:
    wanted = bundle.manifest.model.input_shape
    if len(dataset.images) == 0:
        raise InputError(f"the data set '{dataset.name}' has no images")
    if dataset.images.shape[1:] != wanted:
        raise InputError(
            f"the images of '{dataset.name}' are {_by(dataset.images.shape[1:])}, the network "
            f"'{bundle.manifest.model.name}' takes {_by(wanted)}; choose the data set it was "
            "trained on"
        )


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(str(extent) for extent in shape)


def _run(
    bundle: Bundle,
    connection: Connection,
    device: Device,
    place: Pushed,
    options: BenchOptions,
    progress: Progress,
) -> dict[str, Any]:
    """Run the runner on the device; what it printed."""
    command = [f"./{RUNNER}", "--model", MODEL_LIBRARY, "--images", _IMAGES, "--logits", _LOGITS]
    command += ["--shape", _by(bundle.manifest.model.input_shape)]
    command += ["--threads", str(options.threads), "--warmup", str(options.warmup)]
    command += ["--min-runs", str(options.min_runs), "--min-seconds", str(options.min_seconds)]
    command += ["--max-runs", str(options.max_runs), "--max-seconds", str(options.max_seconds)]
    if options.profile_runs:
        command += ["--profile-runs", str(options.profile_runs)]
    command += ["--stop-at-end-of-input"]

    def on_error(line: str) -> None:
        words = line.split()
        if len(words) == 4 and words[0] == "progress":
            progress(f"measuring {words[1]}", int(words[2]), int(words[3]))

    progress("measuring latency", 0, 0)
    shell = ["sh", "-c", _RUN, "sh", place.run_folder]
    result = connection.run([*shell, *command], on_error=on_error)
    if result.exit_code != 0:
        raise _failed(device, result)
    try:
        document: dict[str, Any] = json.loads(result.stdout)
    except ValueError as error:
        raise RunFailedError(f"the runner on '{device.name}' printed no result") from error
    return document


def _failed(device: Device, result: Result) -> Exception:
    number = result.exit_code - 128
    if number == signal.SIGILL:
        return DeviceUnsuitableError(
            f"'{device.name}' ({device.cpu}) lacks an instruction that the bundle uses; "
            "build for another target"
        )
    if number == signal.SIGKILL:
        return RunFailedError(
            f"the runner on '{device.name}' was killed, which is what Linux does when memory "
            f"is short ({device.memory_bytes / 1e6:.0f} MB); end other programs there"
        )
    if number > 0:
        name = signal.strsignal(number) or f"signal {number}"
        return RunFailedError(f"the runner on '{device.name}' crashed: {name}")
    reason = result.last_error.removeprefix("error: ")
    if "No space left" in reason:
        return RunFailedError(f"the disk of '{device.name}' is full: {reason}; make room there")
    return RunFailedError(f"the runner on '{device.name}' failed: {reason}")


def _fetch_logits(
    connection: Connection, place: Pushed, document: dict[str, Any]
) -> NDArray[np.float32]:
    result = connection.run(["cat", f"{place.run_folder}/{_LOGITS}"])
    images, classes = document["images"], document["classes"]
    if result.exit_code != 0 or len(result.stdout) != images * classes * 4:
        raise RunFailedError(f"the logits could not be fetched from '{connection.name}'")
    return np.frombuffer(result.stdout, dtype="<f4").reshape(images, classes)
