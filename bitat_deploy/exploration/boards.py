"""What candidates cost on real boards: each is built with drawn weights and measured.

Boards of one kind share the work, each over one connection. One that drops out gives its candidate
back and the others go on; what was measured is kept.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from bitat_deploy.bundle import Bundle, build_bundle, read_bundle
from bitat_deploy.datasets import drawn_dataset
from bitat_deploy.device import (
    BenchOptions,
    BenchResult,
    Board,
    CheckRunning,
    Connection,
    bench,
    fitting_target,
    inspect_device,
    on_boards,
)
from bitat_deploy.errors import (
    BitatDeployError,
    ConnectionFailedError,
    DeviceUnsuitableError,
    InputError,
    RunFailedError,
)
from bitat_deploy.exploration.candidates import Candidate
from bitat_deploy.exploration.costs import Cost, CostFile, Timing
from bitat_deploy.exploration.pool import Job, OutOfTimeError, Workers
from bitat_deploy.exploration.recipes import candidate_recipe
from bitat_deploy.exploration.setting import Setting
from bitat_deploy.onnx_format import to_onnx
from bitat_deploy.progress import Progress
from bitat_deploy.report import median_interval
from bitat_deploy.target import Target

Connect = Callable[[str], Connection]

# What a board ends with that drops out.
LOSSES = (ConnectionFailedError, DeviceUnsuitableError, RunFailedError)

_IMAGES = 2  # drawn; what they show changes no latency
_OPTIONS = BenchOptions(warmup=5, min_runs=50, min_seconds=0.5, max_seconds=20.0)
_INT8 = "W8A8"  # the series that ONNX Runtime's int8 stands beside


def find_target(hosts: Sequence[str], connect: Connect) -> Target:
    """What to build for the first of ``hosts`` that answers. Raises its error where none does."""
    failure: BitatDeployError | None = None
    for host in hosts:
        try:
            with connect(host) as connection:
                return fitting_target(connection)
        except LOSSES as error:
            failure = failure or error
    assert failure is not None
    raise failure


def measure_costs(
    setting: Setting, file: CostFile, workers: Workers, connect: Connect, progress: Progress
) -> dict[str, Cost]:
    """Build and measure all candidates that are not in ``file``.

    Raises the first board's error where no board is left; OutOfTimeError.
    """
    wanted = {one.name: one for one in setting.candidates if one.bits is not None}
    _build(setting, [one for name, one in wanted.items() if name not in file.costs], file, workers)
    queue = _Queue([name for name in wanted if name not in file.costs])
    if queue.empty:
        return file.costs
    kinds: dict[str, str] = {}

    def work(board: Board, connection: Connection, check_running: CheckRunning) -> None:
        device = inspect_device(connection)
        kinds[board.name] = device.cpu
        if len(set(kinds.values())) > 1:
            named = ", ".join(f"{name}: {cpu}" for name, cpu in sorted(kinds.items()))
            raise _DifferentBoardsError(
                f"the boards have different processors ({named}), and their times cannot be "
                "compared; explore for each kind by itself, with its own --output"
            )
        while (name := queue.take()) is not None:
            with queue.returned_unless_done(name):
                check_running()
                if workers.clock.left == 0.0:
                    raise OutOfTimeError
                costs = _measure(setting, wanted[name], connection)
                for measured, cost in costs.items():
                    file.add(measured, cost)
            done = len(wanted.keys() & file.costs.keys())
            progress(f"{name} on {board.name}", done, len(wanted))

    boards = [Board(host, host) for host in setting.options.hosts]
    lost = [
        one
        for one in on_boards(
            boards,
            lambda board: connect(board.host),
            work,
            tolerated=LOSSES,
            on_stop=queue.close,
        )
        if one.error is not None
    ]
    for one in lost:
        progress(f"'{one.board.name}' dropped out: {one.error}", 0, 0)
    if not queue.empty:
        done = len(wanted.keys() & file.costs.keys())
        error = lost[0].error
        assert error is not None
        raise type(error)(
            f"no board is left, {done} of {len(wanted)} candidates are measured, and the same "
            f"command goes on with the others; '{lost[0].board.name}': {error}"
        ) from error
    return file.costs


class _DifferentBoardsError(InputError):
    """Boards that cannot share the work."""


def _build(
    setting: Setting, candidates: Sequence[Candidate], file: CostFile, workers: Workers
) -> None:
    """The bundles of ``candidates``; of what cannot be built ``file`` says why."""
    by_name = {one.name: one for one in candidates}
    built: set[str] = set()

    def job(one: Candidate) -> Job:
        recipe = candidate_recipe(one, setting.images, 1, Path("twin"))
        classes, shape = setting.survey.class_names, setting.input_shape(one)
        folder = setting.bundle_folder(one)
        return Job(one.name, build_candidate, (recipe, shape, classes, setting.target, folder))

    def done(job: Job, result: None) -> None:
        built.add(job.name)

    def failed(job: Job, error: BitatDeployError) -> None:
        if not isinstance(error, InputError):
            raise error
        built.add(job.name)
        file.add(job.name, Cost("", failure=str(error)))

    workers.run(
        lambda: [job(one) for name, one in by_name.items() if name not in built], done, failed
    )


def build_candidate(
    recipe: dict[str, Any],
    input_shape: tuple[int, int, int],
    class_names: tuple[str, ...],
    target: Target,
    folder: Path,
) -> None:
    """Build a recipe's network with drawn weights; one that is there is kept."""
    if (folder / "bundle" / "manifest.json").exists():
        return
    from bitat_deploy.training import drawn_network, recipe_from_mapping

    network = drawn_network(recipe_from_mapping(recipe), input_shape, class_names)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(to_onnx(network), folder / "model.onnx")
    build_bundle(folder / "model.onnx", target, folder / "bundle")


def _measure(setting: Setting, one: Candidate, connection: Connection) -> dict[str, Cost]:
    """Costs by name: the candidate's, and with the 8-bit one also its shape's in float32."""
    bundle = read_bundle(setting.bundle_folder(one) / "bundle")
    baseline = _baseline(bundle) if setting.options.baseline and one.series == _INT8 else None
    dataset = drawn_dataset(setting.input_shape(one), _IMAGES)
    result = bench(bundle, connection, dataset, _OPTIONS, baseline=baseline)
    origin = result.device.board or result.device.name
    twins = {
        twin.name: Timing(twin.run.latency.headline, median_interval(twin.run.latency.samples))
        for twin in result.baselines
        if twin.run is not None
    }
    runtime = result.baselines[0].runtime if result.baselines else ""
    others = {f"int8, {runtime}": twins["int8"]} if "int8" in twins else {}
    costs = {one.name: _cost(result, origin, others)}
    if "float32" in twins:
        name = f"{one.twin}-float"
        size = next(twin.model_bytes for twin in result.baselines if twin.name == "float32")
        costs[name] = replace(
            costs[one.name], timing=twins["float32"], memory_bytes=None, size_bytes=size, others={}
        )
    return costs


def _cost(result: BenchResult, origin: str, others: Mapping[str, Timing]) -> Cost:
    return Cost(
        origin,
        Timing(result.latency.headline, median_interval(result.latency.samples)),
        result.peak_rss_bytes,
        result.model_bytes,
        others=dict(others),
        doubts=tuple(result.not_trustworthy),
        emulated=result.device.emulated,
    )


def _baseline(bundle: Bundle) -> Any:
    """ONNX Runtime's twins, None where they cannot be made: then the picture has none."""
    from bitat_deploy.baseline import prepare_baseline

    try:
        return prepare_baseline(bundle)
    except BitatDeployError:
        return None


class _Queue:
    """Names that wait, shared by threads; one that is taken comes back or is done."""

    def __init__(self, names: Sequence[str]) -> None:
        self._waiting = deque(names)
        self._taken = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def take(self) -> str | None:
        """The next name; None once all are done. Waits for what others may give back."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._taken or self._closed)
            if not self._waiting or self._closed:
                return None
            self._taken += 1
            return self._waiting.popleft()

    @contextmanager
    def returned_unless_done(self, name: str) -> Iterator[None]:
        """Give ``name`` back where the block ends with an error."""
        finished = False
        try:
            yield
            finished = True
        finally:
            with self._changed:
                self._taken -= 1
                if not finished:
                    self._waiting.appendleft(name)
                self._changed.notify_all()

    def close(self) -> None:
        """Nobody shall wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
