"""Measuring a bundle on a device: push, run, compare with the host's reference."""

import hashlib
from dataclasses import replace
from datetime import datetime, timezone

from bitat_deploy.baseline import IN_FILE, Baseline
from bitat_deploy.bundle import MODEL_ONNX, SOURCE_ONNX, Bundle, ModelIdentity
from bitat_deploy.compiler import LOGITS_TOLERANCE
from bitat_deploy.datasets import Dataset
from bitat_deploy.device.bench_baseline import bench_baseline
from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.device.bench_result import (
    BaselineResult,
    BenchResult,
    compare_logits,
    latency_statistics,
)
from bitat_deploy.device.condition import reasons_for_distrust
from bitat_deploy.device.connection import Connection
from bitat_deploy.device.execution import fetch_logits, pushed_bundle, run_runner
from bitat_deploy.device.health import read_health
from bitat_deploy.device.inspect import Device, inspect_device
from bitat_deploy.device.profile import LayerTime, layer_times, steady_clock
from bitat_deploy.device.reference import cached_reference_logits
from bitat_deploy.errors import InputError, RunFailedError
from bitat_deploy.network import shape_text
from bitat_deploy.progress import Progress, silent


def bench(
    bundle: Bundle,
    connection: Connection,
    dataset: Dataset,
    options: BenchOptions | None = None,
    progress: Progress = silent,
    baseline: Baseline | None = None,
) -> BenchResult:
    """Measure latency, and accuracy over all of ``dataset``, with the same program.

    Then measure the twins of ``baseline``; if they fail, the result stands and says so.
    Raises InputError where the data set does not fit the network, DeviceUnsuitableError,
    RunFailedError.
    """
    options = options or BenchOptions()
    _check_dataset(bundle, dataset)
    progress("asking the device what it is", 0, 0)
    device = inspect_device(connection)
    _check_threads(device, options.threads)
    with pushed_bundle(bundle, connection, device, dataset.images, progress) as folder:
        measured_at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        before = read_health(connection)
        run = run_runner(bundle, device, folder, options, progress, images=len(dataset.images))
        after = read_health(connection)
        logits = fetch_logits(folder, run)
    baselines: tuple[BaselineResult, ...] = ()
    if baseline is not None:
        image = dataset.images[:1]
        measured = bench_baseline(baseline, bundle, connection, device, image, options, progress)
        baselines = tuple(_with_accuracy(one, bundle, dataset, progress) for one in measured)
    count = len(dataset.images)
    model = bundle.manifest.model
    reference = cached_reference_logits(
        bundle.directory / MODEL_ONNX,
        model.sha256,
        dataset.images,
        hashlib.sha256(dataset.images.tobytes()).hexdigest(),
        lambda done: progress("computing the reference on this machine, once", done, count),
    )
    if logits.shape != reference.shape:
        raise RunFailedError(
            f"the runner on '{device.name}' gives {logits.shape[1]} logits for an image, the "
            f"network '{model.name}' has {reference.shape[1]}; build the bundle again"
        )
    latency = latency_statistics(run.durations_ns, run.warmup, options.rule)
    profile: tuple[LayerTime, ...] = ()
    if options.profile_runs:
        clock = steady_clock(before, after)
        profile = layer_times(bundle.manifest.layers, run.layers_ns, clock, model.batch)
    runner_seconds = None if run.cpu_ns is None else run.cpu_ns / 1e9
    return BenchResult(
        model_name=model.name,
        model_sha256=model.sha256,
        model_metadata=model.metadata,
        target=bundle.manifest.target,
        dataset=dataset.name,
        device=device,
        measured_at=measured_at,
        options=options,
        threads=run.threads,
        load_ms=run.load_ns / 1e6,
        first_inference_ms=run.first_inference_ns / 1e6,
        latency=latency,
        accuracy=compare_logits(logits, reference, dataset, _tolerance(model)),
        peak_rss_bytes=run.peak_rss_bytes,
        model_bytes=bundle.model_size,
        bundle_bytes=bundle.size,
        pushed_bytes=folder.bytes_sent,
        push_seconds=folder.seconds,
        versions=bundle.manifest.versions,
        health_before=before,
        health_after=after,
        not_trustworthy=reasons_for_distrust(device, before, after, latency, runner_seconds),
        layers=bundle.manifest.layers,
        batch=model.batch,
        profile=profile,
        baselines=baselines,
    )


def _with_accuracy(
    twin: BaselineResult, bundle: Bundle, dataset: Dataset, progress: Progress
) -> BaselineResult:
    """The accuracy of a twin that is the user's own file, by ONNX Runtime on this machine."""
    if twin.trained != IN_FILE or not dataset.labels.size:
        return twin
    (source,) = [file for file in bundle.manifest.files if file.path == SOURCE_ONNX]
    logits = cached_reference_logits(
        bundle.directory / SOURCE_ONNX,
        source.sha256,
        dataset.images,
        hashlib.sha256(dataset.images.tobytes()).hexdigest(),
        lambda done: progress("computing the file's accuracy, once", done, len(dataset.images)),
    )
    return replace(twin, top1=float((logits.argmax(axis=1) == dataset.labels).mean()))


def _check_threads(device: Device, threads: int) -> None:
    if threads > device.cores:
        raise InputError(
            f"'{device.name}' has {device.cores} core{'s' if device.cores > 1 else ''}, too few "
            f"for {threads} threads; choose --threads {device.cores} or less"
        )


def _tolerance(model: ModelIdentity) -> float:
    """How much logits may differ: 0, unless the network is partly computed in float32."""
    try:
        return max(float(model.metadata.get(LOGITS_TOLERANCE, 0)), 0.0)
    except ValueError:
        return 0.0


def _check_dataset(bundle: Bundle, dataset: Dataset) -> None:
    wanted = bundle.manifest.model.input_shape
    if len(dataset.images) == 0:
        raise InputError(f"the data set '{dataset.name}' has no images")
    classes = len(bundle.manifest.model.class_names)
    if 0 < classes <= dataset.labels.max(initial=0):  # 0: the network does not name its classes
        raise InputError(
            f"'{dataset.name}' has {len(dataset.class_names)} classes, the network "
            f"'{bundle.manifest.model.name}' {classes}; choose the data set it was trained on"
        )
    if dataset.images.shape[1:] != wanted:
        given = shape_text(dataset.images.shape[1:])
        raise InputError(
            f"the images of '{dataset.name}' are {given}, the network "
            f"'{bundle.manifest.model.name}' takes {shape_text(wanted)}; "
            "choose the data set it was trained on"
        )
