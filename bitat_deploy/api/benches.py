"""A bundle to measurements, on one device or on several at once."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from bitat_deploy import device
from bitat_deploy.baseline import Baseline
from bitat_deploy.bundle import Bundle, last_build, read_bundle
from bitat_deploy.datasets import (
    IMAGE_FOLDER,
    Dataset,
    HeldOut,
    dataset_names,
    dataset_shape,
    drawn_dataset,
    load_dataset,
)
from bitat_deploy.device import BenchOptions, BenchResult, Board, Connection, Outcome
from bitat_deploy.progress import Progress, silent


@dataclasses.dataclass(frozen=True)
class _Material:
    """What is measured: the network, the images it gets, and its twins if wanted."""

    bundle: Bundle
    dataset: Dataset
    baseline: Baseline | None

    def measure(
        self, connection: Connection, options: BenchOptions | None, progress: Progress
    ) -> BenchResult:
        return device.bench(self.bundle, connection, self.dataset, options, progress, self.baseline)


def bench(
    bundle: Bundle | str | Path,
    host: str | Connection = device.LOCAL,
    *,
    data: str | Path | None = None,
    images: int | None = None,
    options: BenchOptions | None = None,
    baseline: bool = False,
    baseline_runs: Sequence[str | Path] = (),
    progress: Progress = silent,
) -> BenchResult:
    """Measure latency and accuracy of a bundle on a device; nothing is installed there.

    ``host`` is ``local``, ``[user@]name[:port]``, or a connection that ``connect`` gave, which
    stays open. ``data`` is a folder or archive of the network's data set, or of CLASS/IMAGE;
    without it, the data set that the network was trained on is found or downloaded, and where it
    names none, drawn pictures give latency and no accuracy. ``images`` takes only so many.
    ``baseline`` also measures float32 and int8 twins of the network in ONNX Runtime;
    ``baseline_runs`` are folders of training runs of such twins, whose accuracy is shown. Whether
    the device computes what ONNX Runtime computes here is in the result's
    ``accuracy.logits_equal``.
    Raises InputError, BundleError, ConnectionFailedError, DeviceUnsuitableError, RunFailedError.
    """
    runs = [Path(run) for run in baseline_runs]
    material = _material(bundle, data, images, runs if baseline else None, progress)
    with contextlib.ExitStack() as stack:
        if isinstance(host, str):
            progress(f"connecting to {host}", 0, 0)
            host = stack.enter_context(device.connect(host))
        return material.measure(host, options, progress)


def bench_boards(
    boards: Sequence[Board],
    bundle: Bundle | str | Path | None = None,
    *,
    data: str | Path | None = None,
    images: int | None = None,
    options: BenchOptions | None = None,
    baseline: bool = False,
    baseline_runs: Sequence[str | Path] = (),
    connect: Callable[[str], Connection] = device.connect,
    progress: Callable[[Board, str, int, int], None] = lambda board, stage, done, total: None,
) -> list[Outcome[BenchResult]]:
    """Measure ``boards`` at the same time, each with its own bundle or else with ``bundle``.

    The other arguments are as for :func:`bench`; ``connect`` opens the connection to a host. An
    outcome has the result of its board, or its error. Raises InputError and BundleError before any
    board is reached.
    """
    runs = [Path(run) for run in baseline_runs]
    chosen = {board: board.bundle or bundle or last_build() for board in boards}
    materials: dict[Path, _Material] = {}
    for board, its_bundle in chosen.items():
        tell = functools.partial(progress, board)
        if _folder(its_bundle) not in materials:
            material = _material(its_bundle, data, images, runs if baseline else None, tell)
            materials[_folder(its_bundle)] = material

    def measure(board: Board, connection: Connection, report: Progress) -> BenchResult:
        return materials[_folder(chosen[board])].measure(connection, options, report)

    def reach(board: Board) -> Connection:
        progress(board, f"connecting to {board.host}", 0, 0)
        return connect(board.host)

    return device.bench_boards(boards, reach, measure, progress)


def _folder(bundle: Bundle | str | Path) -> Path:
    return bundle.directory if isinstance(bundle, Bundle) else Path(bundle)


def _material(
    bundle: Bundle | str | Path,
    data: str | Path | None,
    images: int | None,
    baseline_runs: Sequence[Path] | None,
    progress: Progress,
) -> _Material:
    """``baseline_runs``: None without a baseline."""
    if not isinstance(bundle, Bundle):
        bundle = read_bundle(Path(bundle))
    baseline = None
    if baseline_runs is not None:  # first: what is not possible is said at once
        from bitat_deploy.baseline import prepare_baseline  # its quantizer loads slowly

        tell = lambda message: progress(message, 0, 0)  # noqa: E731
        baseline = prepare_baseline(bundle, tell, baseline_runs)
    dataset = _dataset(bundle, None if data is None else Path(data), images).first(images)
    return _Material(bundle, dataset, baseline)


def _dataset(bundle: Bundle, data: Path | None, images: int | None) -> Dataset:
    """What the network was trained on, or ``data``; where there is neither, drawn pictures."""
    model = bundle.manifest.model
    name = model.metadata.get("dataset", IMAGE_FOLDER)
    if name not in dataset_names() or dataset_shape(name) is None:
        if data is None:
            return drawn_dataset(model.input_shape, images)
        name = IMAGE_FOLDER
    held_out, preprocessing = HeldOut.recorded(model.metadata), model.preprocessing
    dataset = load_dataset(name, "test", data, model.input_shape, held_out, preprocessing)
    if preprocessing.fit == "middle" or preprocessing.resized_to is not None:
        return dataset.middle(*model.input_shape[:2])  # of a data set of one size
    return dataset
