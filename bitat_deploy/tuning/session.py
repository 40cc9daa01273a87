"""How a tuning run works through its jobs: measured on devices, or modelled."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from bitat_deploy.compiler.cycle_model import find_llvm_mca, modelled_cycles
from bitat_deploy.compiler.record import MODEL, NOT_BUILT, OK
from bitat_deploy.errors import BuildError
from bitat_deploy.operators import Operator
from bitat_deploy.target import Target
from bitat_deploy.tuning.building import Builder, Kernel, finished_kernels, last_line, worker_killed
from bitat_deploy.tuning.log import Origin, RecordLog
from bitat_deploy.tuning.measurement import Timed, TimedBatch
from bitat_deploy.tuning.options import Effort
from bitat_deploy.tuning.task import Check, Task
from bitat_deploy.tuning.work import Job, Work

# Is told how many candidates are done of how many, and of which workload they are.
Progress = Callable[[int, int, str], None]


class Session:
    """One tuning run: its work, where results go, and who is told."""

    def __init__(
        self,
        work: Work,
        log: RecordLog,
        checks: Mapping[str, Check],
        effort: Effort,
        progress: Progress,
    ) -> None:
        self.work, self.log, self.checks, self.effort = work, log, checks, effort
        self.unsteady = 0  # candidates of batches in which the device was not steady enough
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
        """Take jobs until none is left. A job that ``measure`` fails to do is given back."""
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
        """Write a job's results and let the search go on."""
        self.log.add(job.task, job.schedules, results, reference, noise, origin)
        self._finish(job, [r.time / reference if r.outcome == OK else None for r in results])

    def _finish(self, job: Job, ratios: list[float | None]) -> None:
        self.work.finish(job, ratios)
        self._done += len(job.schedules)
        self._progress(self._done, self.work.total, job.task.workload)

    def _steady(self, measure: Callable[[], TimedBatch], most_noise: float) -> TimedBatch | None:
        """A measurement during which the default's time held still; None where none did."""
        for _ in range(self.effort.attempts):
            timed = measure()
            if timed.noise <= most_noise:
                return timed
        return None


def model_origin(target: Target) -> Origin:
    """What records say of the model. Raises InputError where the target has none."""
    return Origin(MODEL, f"{Path(find_llvm_mca()).name}, {target.model_cpu}", "cycles")


def model_jobs(pool: ProcessPoolExecutor) -> Callable[[Task, tuple[Any, ...]], Any]:
    """What begins to model a job's candidates, the default first; to prepare jobs with."""

    def prepare(task: Task, schedules: tuple[Any, ...]) -> "list[Future[Timed]]":
        operators = [task.operator, *(task.operator.with_schedule(s) for s in schedules)]
        return [pool.submit(_cost, operator) for operator in operators]

    return prepare


def tune_by_model(session: Session, origin: Origin) -> None:
    """Work through all jobs. Raises BuildError where the default schedule has no cost."""
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
