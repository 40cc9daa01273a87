"""A bundle to measurements, on one device or on several at once."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from bitat_deploy import device
from bitat_deploy.api.bench_data import bench_dataset
from bitat_deploy.api.class_names import checked_class_names
from bitat_deploy.api.devices import connected
from bitat_deploy.baseline import Baseline
from bitat_deploy.bundle import Bundle, last_build, read_bundle
from bitat_deploy.datasets import Dataset
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
    class_names: Sequence[str] = (),
    options: BenchOptions | None = None,
    baseline: bool = False,
    baseline_runs: Sequence[str | Path] = (),
    progress: Progress = silent,
) -> BenchResult:
    """Measure latency and accuracy of a bundle on a device; nothing is installed there.

    ``host`` is ``local``, ``[user@]name[:port]``, or a connection that ``connect`` gave, which
    stays open. ``data`` is a folder or archive of the network's data set, or of CLASS/IMAGE, whose
    classes are found by name among the network's, or among ``class_names``, in the order of its
    outputs. Without ``data``, Fashion-MNIST is found or downloaded for networks that were trained
    on it, and drawn pictures give all others' latency and no accuracy. ``images`` takes only so
    many. ``baseline`` also measures float32 and int8 twins of the network in ONNX Runtime;
    ``baseline_runs`` are folders of training runs of such twins, whose accuracy is shown. Whether
    the device computes what ONNX Runtime computes here is in the result's
    ``accuracy.logits_equal``. Raises InputError, BundleError, ConnectionFailedError,
    DeviceUnsuitableError, RunFailedError.
    """
    runs = [Path(run) for run in baseline_runs]
    chosen = runs if baseline else None
    material = _material(bundle, data, images, class_names, chosen, progress)
    with connected(host, progress) as connection:
        return material.measure(connection, options, progress)


def bench_boards(
    boards: Sequence[Board],
    bundle: Bundle | str | Path | None = None,
    *,
    data: str | Path | None = None,
    images: int | None = None,
    class_names: Sequence[str] = (),
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
            chosen_runs = runs if baseline else None
            material = _material(its_bundle, data, images, class_names, chosen_runs, tell)
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
    class_names: Sequence[str],
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
    path = None if data is None else Path(data)
    dataset = bench_dataset(bundle, path, images, checked_class_names(class_names))
    return _Material(bundle, dataset, baseline)
