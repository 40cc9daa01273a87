"""The result of a bench."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitat_deploy.compiler import LayerReport
from bitat_deploy.datasets import Dataset
from bitat_deploy.device.bench_options import HEADLINES, MEDIAN, BenchOptions
from bitat_deploy.device.health import Health
from bitat_deploy.device.inspect import Device
from bitat_deploy.device.profile import LayerTime
from bitat_deploy.target import Target

# Enough for a histogram and for a bootstrap of the median.
MAXIMUM_SAMPLES = 2000

# Of the images of a network that is partly computed in float32; see Accuracy.
_CLOSE_IMAGES = 0.9

# Of wrong answers, the surest.
_MISTAKES = 18


@dataclass(frozen=True)
class Latency:
    """Statistics over single runs, in milliseconds; a run is of one image, or of one batch.

    ``samples`` are the single runs in the order of measurement, thinned evenly to MAXIMUM_SAMPLES.
    ``rule`` is a key of HEADLINES.
    """

    mean: float
    std: float
    min: float
    p50: float
    p90: float
    p99: float
    max: float
    runs: int
    warmup: int
    samples: tuple[float, ...] = ()
    rule: str = MEDIAN

    @property
    def headline(self) -> float:
        """The latency to report, in milliseconds."""
        return float(getattr(self, HEADLINES[self.rule][0]))


@dataclass(frozen=True)
class Mistake:
    """A wrong answer to an image: its index, its file name if it has one, true and given class.

    ``pixels`` is the image, uint8 [H, W, C].
    """

    image: int
    file: str
    label: int
    prediction: int
    pixels: NDArray[np.uint8] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Accuracy:
    """``top1`` is a fraction of 1, or None of images without labels.

    ``differing_from_reference`` counts images whose prediction is not that of ONNX Runtime on the
    host; ``logits_equal`` says whether the logits are equal to its: all of them, bit for bit, or,
    for networks that are partly computed in float32, within ``logits_tolerance`` of the largest
    logit in at least 90 % of the images (in the others a rounding difference may have changed a
    code). ``confusion`` counts images by true class (row) and predicted class (column),
    in the order of ``class_names``. ``mistakes`` are the wrong answers that the network was surest
    of. All three are empty where the network's classes are not those of the data set.
    """

    top1: float | None
    images: int
    differing_from_reference: int
    logits_equal: bool
    class_names: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    logits_tolerance: float = 0.0
    mistakes: tuple[Mistake, ...] = ()


@dataclass(frozen=True)
class TwinRun:
    """The measurements of a twin; the fields are those of BenchResult."""

    load_ms: float
    first_inference_ms: float
    latency: Latency
    peak_rss_bytes: int
    not_trustworthy: tuple[str, ...]


@dataclass(frozen=True)
class BaselineResult:
    """A twin of the network in ``runtime`` on the same device; ``name`` is its arithmetic.

    ``model_bytes`` is the size of its ONNX file, ``runtime_bytes`` that of the runtime's library.
    If it could not be measured, ``run`` is None and ``failure`` is the reason. ``trained`` and
    ``top1`` are as in Twin: where its accuracy is known from, and the accuracy, a fraction of 1.
    """

    name: str
    runtime: str
    model_bytes: int
    runtime_bytes: int
    run: TwinRun | None
    failure: str = ""
    trained: str = ""
    top1: float | None = None


@dataclass(frozen=True)
class BenchResult:
    """One bench of one bundle on one device. Sizes are in bytes.

    ``measured_at`` is UTC by the host's clock, in ISO 8601; ``model_metadata`` is what the ONNX
    file says of itself. A run is one call with ``batch`` images. ``not_trustworthy`` holds the
    reasons not to trust the times; the health was read just before and after the runs. ``profile``
    and ``baselines`` are empty unless requested.
    """

    model_name: str
    model_sha256: str
    model_metadata: dict[str, str]
    target: Target
    dataset: str
    device: Device
    measured_at: str
    options: BenchOptions
    threads: int
    load_ms: float
    first_inference_ms: float
    latency: Latency
    accuracy: Accuracy
    peak_rss_bytes: int
    model_bytes: int
    bundle_bytes: int
    pushed_bytes: int
    push_seconds: float
    versions: dict[str, str]
    health_before: Health
    health_after: Health
    not_trustworthy: tuple[str, ...]
    layers: tuple[LayerReport, ...] = ()
    batch: int = 1
    profile: tuple[LayerTime, ...] = ()
    baselines: tuple[BaselineResult, ...] = ()

    @property
    def images_per_second(self) -> float:
        """Throughput of runs one after the other, each taking the headline latency."""
        return self.batch * 1e3 / max(self.latency.headline, 1e-9)


def latency_statistics(durations_ns: ArrayLike, warmup: int, rule: str = MEDIAN) -> Latency:
    """Summarise the nanoseconds of the measured runs."""
    milliseconds = np.asarray(durations_ns, dtype=np.float64) / 1e6
    count = len(milliseconds)
    kept = np.linspace(0, count - 1, min(count, MAXIMUM_SAMPLES)).astype(int)
    p50, p90, p99 = np.percentile(milliseconds, [50, 90, 99])
    return Latency(
        mean=float(milliseconds.mean()),
        std=float(milliseconds.std()),
        min=float(milliseconds.min()),
        p50=float(p50),
        p90=float(p90),
        p99=float(p99),
        max=float(milliseconds.max()),
        runs=count,
        warmup=warmup,
        samples=tuple(milliseconds[kept].tolist()),
        rule=rule,
    )


def compare_logits(
    logits: NDArray[np.float32],
    reference: NDArray[np.float32],
    dataset: Dataset,
    tolerance: float = 0.0,
) -> Accuracy:
    """Accuracy of the device's ``logits`` [N, classes], and how they compare to the host's."""
    labels, class_names = dataset.labels, dataset.class_names
    predictions = logits.argmax(axis=1)
    fitting = len(class_names) == logits.shape[1] and labels.size > 0
    return Accuracy(
        top1=float((predictions == labels).mean()) if labels.size else None,
        images=len(logits),
        differing_from_reference=int((predictions != reference.argmax(axis=1)).sum()),
        logits_equal=_are_equal(logits, reference, tolerance),
        class_names=class_names if fitting else (),
        confusion=_confusion(labels, predictions, len(class_names)) if fitting else (),
        logits_tolerance=tolerance,
        mistakes=_mistakes(logits, dataset) if fitting else (),
    )


def _mistakes(logits: NDArray[np.float32], dataset: Dataset) -> tuple[Mistake, ...]:
    """The wrong answers, those first whose logit leads that of the true class by most."""
    labels, files = dataset.labels, dataset.files
    rows, predictions = np.arange(len(logits)), logits.argmax(axis=1)
    lead = logits[rows, predictions] - logits[rows, labels]
    surest = [int(i) for i in np.argsort(-lead, kind="stable") if predictions[i] != labels[i]]
    return tuple(
        Mistake(
            i,
            files[i] if files else "",
            int(labels[i]),
            int(predictions[i]),
            dataset.images[i].copy(),
        )
        for i in surest[:_MISTAKES]
    )


def _are_equal(
    logits: NDArray[np.float32], reference: NDArray[np.float32], tolerance: float
) -> bool:
    if tolerance == 0 or not np.isfinite(logits).all():
        return bool((logits == reference).all())
    differences = np.abs(logits - reference).max(axis=1)
    close = differences <= tolerance * np.abs(reference).max()
    return bool(close.mean() >= _CLOSE_IMAGES)


def _confusion(
    labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int
) -> tuple[tuple[int, ...], ...]:
    counts = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return tuple(tuple(row) for row in counts.reshape(classes, classes).tolist())
