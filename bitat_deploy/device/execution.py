"""Running a bundle's network over images on a device."""

import contextlib
import functools
import hashlib
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.bundle import RUNNER, Bundle
from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.device.connection import USUAL, Connection, Limit
from bitat_deploy.device.inspect import Device, inspect_device
from bitat_deploy.device.push import PushFile, RunFolder, pushed
from bitat_deploy.device.run_result import RunResult, parse_run_result
from bitat_deploy.device.runner_failure import runner_failure
from bitat_deploy.device.suitability import check_suitable
from bitat_deploy.errors import RunFailedError
from bitat_deploy.files import scratch_folder
from bitat_deploy.network import shape_text
from bitat_deploy.progress import Progress, silent

IMAGES = "images"
_LOGITS = "logits"
_PROGRESS = re.compile("progress ([a-z]{1,20}) ([0-9]{1,15}) ([0-9]{1,15})")

# Bounds of what is measured, in seconds, and of what is printed of it.
_SHORTEST_RUN, _LONGEST_RUN, _BYTES_A_RUN = 1e-5, 10.0, 24

# The runner measures at least once.
_ONLY_ANSWERS = BenchOptions(warmup=0, min_runs=1, min_seconds=0)


@contextlib.contextmanager
def pushed_bundle(
    bundle: Bundle,
    connection: Connection,
    device: Device,
    images: NDArray[np.uint8],
    progress: Progress,
) -> Iterator[RunFolder]:
    """Keep a bundle and ``images`` [N, H, W, C] on the device for as long as the block lasts.

    Raises DeviceUnsuitableError, RunFailedError.
    """
    content = images.tobytes()
    with scratch_folder() as workspace:
        source = workspace / IMAGES
        source.write_bytes(content)
        files = [
            PushFile(bundle.directory / f.path, f.path, f.sha256, f.size, f.executable)
            for f in bundle.pushed_files
        ]
        files.append(PushFile(source, IMAGES, hashlib.sha256(content).hexdigest(), len(content)))
        check_suitable(device, bundle.manifest.target, sum(file.size for file in files))
        show = functools.partial(progress, "pushing")
        with pushed(connection, device.cache, bundle.identity, files, show) as folder:
            yield folder


def run_runner(
    bundle: Bundle,
    device: Device,
    folder: RunFolder,
    options: BenchOptions,
    progress: Progress,
    *,
    images: int = 1,
    program: str = RUNNER,
    model: str | None = None,
) -> RunResult:
    """Run the runner in ``folder`` on the device over ``images`` images; what it printed.

    ``program`` and ``model`` are files in there: another program takes the same options.
    Raises DeviceUnsuitableError, RunFailedError; BundleError for a runner of another version.
    """
    command = [f"./{program}", "--model", model or bundle.model_file]
    command += ["--images", IMAGES, "--logits", _LOGITS]
    command += ["--shape", shape_text(bundle.manifest.model.input_shape)]
    if bundle.manifest.model.batch > 1:
        command += ["--batch", str(bundle.manifest.model.batch)]
    command += ["--threads", str(options.threads), "--warmup", str(options.warmup)]
    command += ["--min-runs", str(options.min_runs), "--min-seconds", str(options.min_seconds)]
    command += ["--max-runs", str(options.max_runs), "--max-seconds", str(options.max_seconds)]
    if options.profile_runs:
        command += ["--profile-runs", str(options.profile_runs)]
    command += ["--stop-at-end-of-input"]

    def on_error(line: str) -> None:
        match = _PROGRESS.fullmatch(line.strip())
        if match:
            progress(f"measuring {match[1]}", int(match[2]), int(match[3]))

    progress("measuring latency", 0, 0)
    result = folder.run(command, on_error=on_error, limit=_limit(options, images))
    if result.exit_code != 0:
        raise runner_failure(device, result, program)
    classes = len(bundle.manifest.model.class_names) or None
    return parse_run_result(result.stdout, device.name, options, images, classes)


def _limit(options: BenchOptions, images: int) -> Limit:
    """How much the runner may print, a number for each run, and how long it may take."""
    measured = options.min_runs + options.min_seconds / _SHORTEST_RUN
    all_runs = options.warmup + options.min_runs + options.profile_runs + images
    return Limit(
        bytes=USUAL.bytes + int(_BYTES_A_RUN * measured),
        seconds=USUAL.seconds + options.min_seconds + _LONGEST_RUN * all_runs,
    )


def fetch_logits(folder: RunFolder, run: RunResult) -> NDArray[np.float32]:
    """The logits float32 [N, classes] of a run that gave ``run``. Raises RunFailedError."""
    images, classes = run.images, run.classes
    result = folder.read(_LOGITS, images * classes * 4)
    if result.exit_code != 0 or len(result.stdout) != images * classes * 4:
        raise RunFailedError(f"the logits could not be fetched from '{folder.connection.name}'")
    return np.frombuffer(result.stdout, dtype="<f4").reshape(images, classes)


def classify(
    bundle: Bundle,
    connection: Connection,
    images: NDArray[np.uint8],
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Logits float32 [N, classes] of ``images`` uint8 [N, H, W, C], computed on the device.

    Raises DeviceUnsuitableError, RunFailedError.
    """
    progress("asking the device what it is", 0, 0)
    device = inspect_device(connection)
    with pushed_bundle(bundle, connection, device, images, progress) as folder:
        run = run_runner(bundle, device, folder, _ONLY_ANSWERS, progress, images=len(images))
        return fetch_logits(folder, run)
