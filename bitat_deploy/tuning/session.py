"""What all measurers of a tuning run share, and how each of them works through its jobs."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from bitat_deploy.compiler.record import NOT_BUILT, OK
from bitat_deploy.errors import BuildError
from bitat_deploy.operators import Operator
from bitat_deploy.tuning.kernel import Kernel, build_kernel
from bitat_deploy.tuning.log import Origin, RecordLog
from bitat_deploy.tuning.measurement import Timed, TimedBatch
from bitat_deploy.tuning.options import Effort
from bitat_deploy.tuning.task import Check, Task
from bitat_deploy.tuning.work import Job, Work

# Is told how many candidates are done of how many, and of which workload they are.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class Built:
    """A job's kernels, which may still be in the making; ``reference`` is the default schedule."""

    reference: "Future[Kernel]"
    kernels: "tuple[Future[Kernel], ...]"


class Builder:
    """Has the candidates of jobs built in other processes."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self._references: dict[str, Future[Kernel]] = {}

    def __call__(self, task: Task, schedules: tuple[Any, ...]) -> Built:
        """Begin to build; does not wait."""
        operator = task.operator
        if task.workload not in self._references:
            self._references[task.workload] = self._submit(operator)
        kernels = tuple(self._submit(operator.with_schedule(schedule)) for schedule in schedules)
        return Built(self._references[task.workload], kernels)

    def _submit(self, operator: Operator) -> "Future[Kernel]":
        try:
            return self._pool.submit(build_kernel, operator)
        except BrokenProcessPool as error:
            raise worker_killed() from error


def worker_killed() -> BuildError:
    """What to say when a process of ours was killed."""
    return BuildError(
        "a process that builds candidates was killed, which is what Linux does when memory is "
        "short; run tune again with --jobs 1, it goes on where it stopped"
    )


def finished_kernels(built: Built) -> tuple[Kernel, tuple[Kernel, ...]]:
    """Wait for a job's kernels. Raises BuildError where the default itself cannot be built."""
    try:
        reference = built.reference.result()
        kernels = tuple(future.result() for future in built.kernels)
    except BrokenProcessPool as error:
        raise worker_killed() from error
    if reference.error:
        raise BuildError(f"the default schedule cannot be built: {reference.error}")
    return reference, kernels


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
