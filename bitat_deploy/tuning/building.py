"""Candidates compiled on this machine by worker processes, each to a shared library."""

from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import tvm
from numpy.typing import NDArray

from bitat_deploy.compiler import link_shared, tvm_target
from bitat_deploy.errors import BuildError
from bitat_deploy.files import check_room, scratch_folder
from bitat_deploy.operators import Operator
from bitat_deploy.tuning.task import Task

_KERNEL_BYTES = 8 << 20  # at most, of an object file and its library
_SYMBOL = "kernel"


@dataclass(frozen=True, eq=False)
class Kernel:
    """A compiled candidate: its library, or in ``error`` why there is none, and its constants."""

    library: bytes
    constants: tuple[NDArray[Any], ...]
    error: str = ""


def build_kernel(operator: Operator) -> Kernel:
    """Compile an operator by itself for its target; a failure is part of the result."""
    try:
        return Kernel(_compile(operator), operator.constants())
    except Exception as error:  # whatever a schedule makes TVM or LLVM do, the others go on
        return Kernel(b"", (), last_line(error))


def last_line(error: Exception) -> str:
    """The last line of an error's message, shortened."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1][:200]


def _compile(operator: Operator) -> bytes:
    function = operator.prim_func().with_attr("global_symbol", _SYMBOL)
    compiled = tvm.compile(tvm.IRModule({_SYMBOL: function}), target=tvm_target(operator.target))
    with scratch_folder() as workspace:
        objects, library = workspace / "kernel.o", workspace / "kernel.so"
        check_room(workspace, _KERNEL_BYTES)
        compiled.mod.write_to_file(str(objects))
        link_shared([objects], library, operator.target)
        return library.read_bytes()


@dataclass(frozen=True, eq=False)
class Built:
    """A job's kernels, some perhaps still being built; ``reference`` is the default schedule."""

    reference: "Future[Kernel]"
    kernels: "tuple[Future[Kernel], ...]"


class Builder:
    """Builds the candidates of jobs in other processes."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self._references: dict[str, Future[Kernel]] = {}

    def __call__(self, task: Task, schedules: tuple[Any, ...]) -> Built:
        """Start building, without waiting."""
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
    """The error for a worker process that was killed."""
    return BuildError(
        "a process that builds candidates was killed, which is what Linux does when memory is "
        "short; run tune again with --jobs 1, it continues where it stopped"
    )


def finished_kernels(built: Built) -> tuple[Kernel, tuple[Kernel, ...]]:
    """Wait for a job's kernels. Raises BuildError if the default cannot be built."""
    try:
        reference = built.reference.result()
        kernels = tuple(future.result() for future in built.kernels)
    except BrokenProcessPool as error:
        raise worker_killed() from error
    if reference.error:
        raise BuildError(f"the default schedule cannot be built: {reference.error}")
    return reference, kernels
