"""Measuring the twins of a network in another runtime, as the network itself was measured."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.baseline import Baseline, Twin
from bitat_deploy.bundle import LIBRARY_FOLDER, Bundle
from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.device.bench_result import BaselineResult, TwinRun, latency_statistics
from bitat_deploy.device.condition import reasons_for_distrust
from bitat_deploy.device.connection import Connection
from bitat_deploy.device.execution import IMAGES, run_runner
from bitat_deploy.device.health import read_health
from bitat_deploy.device.inspect import Device
from bitat_deploy.device.push import RunFolder, push_file, pushed
from bitat_deploy.device.run_result import RunResult
from bitat_deploy.device.suitability import folder_problems
from bitat_deploy.errors import DeviceUnsuitableError, RunFailedError
from bitat_deploy.files import scratch_folder
from bitat_deploy.progress import Progress

_PROGRAM = "baseline"


def bench_baseline(
    baseline: Baseline,
    bundle: Bundle,
    connection: Connection,
    device: Device,
    image: NDArray[np.uint8],
    options: BenchOptions,
    progress: Progress,
) -> tuple[BaselineResult, ...]:
    """One result for each twin, measured on ``image`` [1, H, W, C].

    A failure on the device is part of the result.
    """
    # There is no profile of another runtime's layers.
    options = replace(options, profile_runs=0)
    try:
        with _pushed(baseline, bundle, connection, device, image, progress) as folder:

            def run(twin: Twin) -> RunResult:
                def show(stage: str, done: int, total: int) -> None:
                    progress(f"{stage} of the {twin.name} twin", done, total)

                return run_runner(
                    bundle,
                    device,
                    folder,
                    options,
                    show,
                    program=_PROGRAM,
                    model=_file_name(twin),
                )

            return tuple(
                _bench_twin(baseline, twin, connection, device, run, options.rule)
                for twin in baseline.twins
            )
    except (DeviceUnsuitableError, RunFailedError) as error:
        return tuple(_result(baseline, twin, failure=str(error)) for twin in baseline.twins)


def _bench_twin(
    baseline: Baseline,
    twin: Twin,
    connection: Connection,
    device: Device,
    run: Callable[[Twin], RunResult],
    rule: str,
) -> BaselineResult:
    try:
        before = read_health(connection)
        measurement = run(twin)
        after = read_health(connection)
    except (DeviceUnsuitableError, RunFailedError) as error:
        return _result(baseline, twin, failure=str(error))
    latency = latency_statistics(measurement.durations_ns, measurement.warmup, rule)
    seconds = None if measurement.cpu_ns is None else measurement.cpu_ns / 1e9
    measured = TwinRun(
        load_ms=measurement.load_ns / 1e6,
        first_inference_ms=measurement.first_inference_ns / 1e6,
        latency=latency,
        peak_rss_bytes=measurement.peak_rss_bytes,
        not_trustworthy=reasons_for_distrust(device, before, after, latency, seconds),
    )
    return _result(baseline, twin, measured)


def _result(
    baseline: Baseline, twin: Twin, run: TwinRun | None = None, failure: str = ""
) -> BaselineResult:
    return BaselineResult(
        name=twin.name,
        runtime=baseline.runtime,
        model_bytes=len(twin.content),
        runtime_bytes=baseline.library.stat().st_size,
        run=run,
        failure=failure,
        trained=twin.trained,
        top1=twin.top1,
    )


@contextlib.contextmanager
def _pushed(
    baseline: Baseline,
    bundle: Bundle,
    connection: Connection,
    device: Device,
    image: NDArray[np.uint8],
    progress: Progress,
) -> Iterator[RunFolder]:
    with scratch_folder() as workspace:
        contents = {_file_name(twin): twin.content for twin in baseline.twins}
        contents[IMAGES] = image.transpose(0, 3, 1, 2).tobytes()
        sources = {
            _PROGRAM: baseline.program,
            f"{LIBRARY_FOLDER}/libonnxruntime.so": baseline.library,
        }
        for name, content in contents.items():
            sources[name] = workspace / name
            sources[name].write_bytes(content)
        files = [
            push_file(source, path, executable=path == _PROGRAM) for path, source in sources.items()
        ]
        for problem in folder_problems(device, sum(file.size for file in files)):
            raise DeviceUnsuitableError(f"{problem.message}; {problem.remedy}")
        show = functools.partial(progress, "pushing ONNX Runtime")
        with pushed(connection, device.cache, bundle.identity, files, show) as folder:
            yield folder


def _file_name(twin: Twin) -> str:
    return f"{twin.name}.onnx"
