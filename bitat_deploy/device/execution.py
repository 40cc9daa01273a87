"""Running a bundle's network over images on a device."""

import contextlib
import hashlib
import json
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.bundle import Bundle
from bitat_deploy.bundle.bundle import RUNNER
from bitat_deploy.device.bench_result import MEDIAN, MLPERF_SINGLE_STREAM
from bitat_deploy.device.connection import Connection, Result
from bitat_deploy.device.inspect import Device
from bitat_deploy.device.push import Pushed, PushFile, pushed
from bitat_deploy.device.suitability import check_suitable
from bitat_deploy.errors import BundleError, DeviceUnsuitableError, RunFailedError

IMAGES = "images"
_LOGITS = "logits"

# Exit codes: of the runner, and of the dynamic loader before it.
_USAGE, _NO_MEMORY, _NOT_STARTED = 2, 6, 127

_OTHER_VERSION = "it is of another version of bitat-deploy: build the bundle again"

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


@contextlib.contextmanager
def pushed_bundle(
    bundle: Bundle,
    connection: Connection,
    device: Device,
    images: NDArray[np.uint8],
    progress: Progress,
) -> Iterator[Pushed]:
    """Have a bundle and ``images`` [N, H, W, C] on the device for as long as the block lasts.

    Raises DeviceUnsuitableError, RunFailedError.
    """
    content = images.tobytes()
    with tempfile.TemporaryDirectory(prefix="bitat-deploy-") as workspace:
        source = Path(workspace) / IMAGES
        source.write_bytes(content)
        files = [
            PushFile(bundle.directory / f.path, f.path, f.sha256, f.size, f.executable)
            for f in bundle.pushed_files
        ]
        files.append(PushFile(source, IMAGES, hashlib.sha256(content).hexdigest(), len(content)))
        total = sum(file.size for file in files)
        check_suitable(device, bundle.manifest.target, total)
        sent = 0

        def on_bytes(count: int) -> None:
            nonlocal sent
            sent += count
            progress("pushing", sent, total)

        with pushed(connection, device.cache, bundle.identity, files, on_bytes) as place:
            yield place


def run_runner(
    bundle: Bundle,
    connection: Connection,
    device: Device,
    place: Pushed,
    options: BenchOptions,
    progress: Progress,
    *,
    program: str = RUNNER,
    model: str | None = None,
) -> dict[str, Any]:
    """Run the runner on the device; what it printed.

    ``program`` and ``model`` are files in the run folder: another program takes the same options.
    Raises DeviceUnsuitableError, RunFailedError; BundleError for a runner of another version.
    """
    command = [f"./{program}", "--model", model or bundle.model_file]
    command += ["--images", IMAGES, "--logits", _LOGITS]
    command += ["--shape", by(bundle.manifest.model.input_shape)]
    if bundle.manifest.model.batch > 1:
        command += ["--batch", str(bundle.manifest.model.batch)]
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
        raise _failed(device, result, program)
    try:
        document: dict[str, Any] = json.loads(result.stdout)
    except ValueError as error:
        raise RunFailedError(f"the runner on '{device.name}' printed no result") from error
    absent = _needed(options) - set(document)
    if absent:
        raise BundleError(f"the bundle's runner does not tell '{min(absent)}'; {_OTHER_VERSION}")
    return document


def _needed(options: BenchOptions) -> set[str]:
    """What every runner tells, and what those of early bundles do not yet."""
    always = {"durations_ns", "warmup", "threads", "load_ns", "first_inference_ns", "images"}
    profile = {"layers_ns"} if options.profile_runs else set()
    return always | {"classes", "peak_rss_bytes"} | profile


def by(shape: tuple[int, ...]) -> str:
    """A shape as people write it: 28x28x1."""
    return "x".join(str(extent) for extent in shape)


def _failed(device: Device, result: Result, program: str) -> Exception:
    number = result.exit_code - 128
    if number == signal.SIGILL:
        if program != RUNNER:
            return RunFailedError(
                f"'{device.name}' ({device.cpu}) lacks an instruction that '{program}' uses"
            )
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
    if result.exit_code == _USAGE:
        return BundleError(f"the bundle's runner refuses its options ({reason}); {_OTHER_VERSION}")
    if result.exit_code == _NO_MEMORY:
        return DeviceUnsuitableError(
            f"'{device.name}' has too little memory for the network "
            f"({device.memory_bytes / 1e6:.0f} MB in all): {reason}"
        )
    if result.exit_code == _NOT_STARTED:
        return RunFailedError(
            f"the runner cannot start on '{device.name}': {reason}; if a library is missing, "
            "build the bundle again, if one cannot be mapped, end other programs there"
        )
    if "No space left" in reason:
        return RunFailedError(f"the disk of '{device.name}' is full: {reason}; make room there")
    return RunFailedError(f"the runner on '{device.name}' failed: {reason}")


def fetch_logits(
    connection: Connection, place: Pushed, document: dict[str, Any]
) -> NDArray[np.float32]:
    """The logits float32 [N, classes] of a run that printed ``document``. Raises RunFailedError."""
    result = connection.run(["cat", f"{place.run_folder}/{_LOGITS}"])
    images, classes = document["images"], document["classes"]
    if result.exit_code != 0 or len(result.stdout) != images * classes * 4:
        raise RunFailedError(f"the logits could not be fetched from '{connection.name}'")
    return np.frombuffer(result.stdout, dtype="<f4").reshape(images, classes)
