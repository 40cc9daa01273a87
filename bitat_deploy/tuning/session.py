"""How a tuning run works through its jobs: measured on devices, or modelled."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from bitat_deploy.cycle_model import model_name, modelled_cycles
from bitat_deploy.errors import BuildError
from bitat_deploy.operators import Operator
from bitat_deploy.records import MODEL, NOT_BUILT, OK
from bitat_deploy.target import Target
from bitat_deploy.tuning.building import Builder, Kernel, finished_kernels, last_line, worker_killed
from bitat_deploy.tuning.log import Origin, RecordLog
from bitat_deploy.tuning.measurement import Timed, TimedBatch
from bitat_deploy.tuning.options import Effort
from bitat_deploy.tuning.task import Check, Task
from bitat_deploy.tuning.work import Job, Work

# Called with the candidates done, those in all, and the workload of the present ones.
Progress = Callable[[int, int, str], None]


class Session:
    """One tuning run: its work, the log of its results, its progress."""

    def __init__(
        self,
        work: Work,
        log: RecordLog,
        checks: Mapping[str, Check],
        effort: Effort,
        progress: Progress,
    ) -> None:
        self.work, self.log, self.checks, self.effort = work, log, checks, effort
        self.unsteady = 0  # candidates of batches during which the device was not steady
        self._progress = progress
        self._done = work.resumed
        self._progress(self._done, work.total, "")

    def measure_jobs(
        self,
        builder: Builder,
        origin: Origin,
        measure: Callable[[Check, Kernel, tuple[Kernel, ...]], TimedBatch],
        most_noise: float,
    ) -> None:
        """Take jobs until none is left. A job for which ``measure`` fails is given back."""
        while (job := self.work.take()) is not None:
            try:
                self._progress(self._done, self.work.total, job.task.workload)
                built = job.prepared or builder(job.task, job.schedules)
                reference, kernels = finished_kernels(built)
                sound = tuple(kernel for kernel in kernels if not kernel.error)
                check = self.checks[job.task.workload]
                timed = self._steady(lambda: measure(check, reference, sound), most_noise)  # noqa: B023
            except BaseException:
                self.work.give_back(job)
                raise
            if timed is None:
                self.unsteady += len(job.schedules)
                self._finish(job, [None] * len(job.schedules))
                continue
            results = iter(timed.candidates)
            self.record(
                job,
                tuple(
                    Timed(NOT_BUILT, 0.0, kernel.error) if kernel.error else next(results)
                    for kernel in kernels
                ),
                timed.reference_ns,
                timed.noise,
                origin,
            )

    def record(
        self, job: Job, results: tuple[Timed, ...], reference: float, noise: float, origin: Origin
    ) -> None:
        """Write a job's results, and continue the search with them."""
        self.log.add(job.task, job.schedules, results, reference, noise, origin)
        self._finish(job, [r.time / reference if r.outcome == OK else None for r in results])

    def _finish(self, job: Job, ratios: list[float | None]) -> None:
        self.work.finish(job, ratios)
        self._done += len(job.schedules)
        self._progress(self._done, self.work.total, job.task.workload)

    def _steady(self, measure: Callable[[], TimedBatch], most_noise: float) -> TimedBatch | None:
        """A measurement with a steady time of the default schedule; None if there was none."""
        for _ in range(self.effort.attempts):
            timed = measure()
            if timed.noise <= most_noise:
                return timed
        return None


def model_origin(target: Target) -> Origin:
    """The origin of modelled records. Raises InputError if the target has no model."""
    return Origin(MODEL, model_name(target), "cycles")


def model_jobs(pool: ProcessPoolExecutor) -> Callable[[Task, tuple[Any, ...]], Any]:
    """A function that starts modelling a job's candidates, the default first."""

    def prepare(task: Task, schedules: tuple[Any, ...]) -> "list[Future[Timed]]":
        operators = [task.operator, *(task.operator.with_schedule(s) for s in schedules)]
        return [pool.submit(_cost, operator) for operator in operators]

    return prepare


def tune_by_model(session: Session, origin: Origin) -> None:
    """Work through all jobs. Raises BuildError if the default schedule cannot be modelled."""
    while (job := session.work.take()) is not None:
        try:
            reference, *results = [future.result() for future in job.prepared]
        except BrokenProcessPool as error:
            raise worker_killed() from error
        if reference.outcome != OK:
            raise BuildError(
                f"the default schedule of '{job.task.workload}' has no cost by the model: "
                f"{reference.message}"
            )
        session.record(job, tuple(results), reference.time, 0.0, origin)


def _cost(operator: Operator) -> Timed:
    try:
        return Timed(OK, modelled_cycles(operator, operator.target))
    except Exception as error:  # whatever a schedule makes TVM do, the others go on
        return Timed(NOT_BUILT, 0.0, last_line(error))
