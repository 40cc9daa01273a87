"""Tuning without a device: cycles by the static model instead of times."""

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from bitat_deploy.compiler.cycle_model import modelled_cycles
from bitat_deploy.compiler.record import MODEL, NOT_BUILT, OK
from bitat_deploy.errors import BuildError
from bitat_deploy.operators import Operator
from bitat_deploy.target import Target
from bitat_deploy.tuning.log import Origin
from bitat_deploy.tuning.measurement import Timed
from bitat_deploy.tuning.session import Session, worker_killed
from bitat_deploy.tuning.task import Task

UNIT = "cycles"


def model_origin(target: Target) -> Origin:
    """What records say of the model. Raises InputError where the target has none."""
    from bitat_deploy.compiler.cycle_model import find_llvm_mca

    return Origin(MODEL, f"{Path(find_llvm_mca()).name}, {target.model_cpu}", UNIT)


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
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return Timed(NOT_BUILT, 0.0, lines[-1][:200])
