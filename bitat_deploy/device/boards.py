"""Several boards at once, each over its own connection; the failure of one stops no other."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from bitat_deploy.device.bench_result import BenchResult
from bitat_deploy.device.connection import Connection
from bitat_deploy.errors import BitatDeployError, RunFailedError
from bitat_deploy.progress import Progress

Value = TypeVar("Value")

# A command that still runs then began at the moment of the stop, and is ended too.
_SECONDS_TO_TIDY_UP = 5.0


@dataclass(frozen=True)
class Board:
    """A device, its name in reports, and its bundle; None stands for the command's bundle."""

    host: str
    name: str
    bundle: Path | None = None


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What became of the work on a board: its result or an error."""

    board: Board
    result: Value | None
    error: BitatDeployError | None


# Raises RunFailedError once the work is to stop. To be called between two steps of it.
CheckRunning = Callable[[], None]


def on_boards(
    boards: Sequence[Board],
    connect: Callable[[Board], Connection],
    work: Callable[[Board, Connection, CheckRunning], Value],
    *,
    tolerated: tuple[type[BitatDeployError], ...] = (BitatDeployError,),
    on_stop: Callable[[], None] = lambda: None,
) -> list[Outcome[Value]]:
    """Do ``work`` on all ``boards`` at once; the outcomes in the same order.

    A ``tolerated`` error is the outcome of its board. Ctrl-C and any other error end the command
    that runs on each board, call ``on_stop``, and are raised. A single board needs no thread.
    """
    runs = [_BoardRun(board, connect, work, tolerated) for board in boards]
    if len(runs) == 1:
        return [runs[0]()]
    with ThreadPoolExecutor(len(runs)) as pool:
        futures = [pool.submit(run) for run in runs]
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
        except BaseException:
            on_stop()
            for run in runs:
                run.stop()
            while wait(futures, _SECONDS_TO_TIDY_UP).not_done:
                for run in runs:
                    run.interrupt()
            raise
    return [future.result() for future in futures]


def bench_boards(
    boards: Sequence[Board],
    connect: Callable[[Board], Connection],
    measure: Callable[[Board, Connection, Progress], BenchResult],
    progress: Callable[[Board, str, int, int], None],
) -> list[Outcome[BenchResult]]:
    """Measure all ``boards`` at once; between its stages a bench can be stopped."""

    def work(board: Board, connection: Connection, check_running: CheckRunning) -> BenchResult:
        def show(stage: str, done: int, total: int) -> None:
            check_running()
            progress(board, stage, done, total)

        return measure(board, connection, show)

    return on_boards(boards, connect, work)


class _BoardRun(Generic[Value]):
    """The work on one board, which another thread may stop."""

    def __init__(
        self,
        board: Board,
        connect: Callable[[Board], Connection],
        work: Callable[[Board, Connection, CheckRunning], Value],
        tolerated: tuple[type[BitatDeployError], ...],
    ) -> None:
        self._board, self._connect, self._work = board, connect, work
        self._tolerated = tolerated
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def __call__(self) -> Outcome[Value]:
        self._thread = threading.current_thread()
        try:
            with self._connect(self._board) as connection:
                self._connection = connection
                self._check_running()
                result = self._work(self._board, connection, self._check_running)
        except self._tolerated as error:
            return Outcome(self._board, None, error)
        return Outcome(self._board, result, None)

    def stop(self) -> None:
        """End the command that runs on the board, and the work at its next check."""
        self._stopped = True
        self.interrupt()

    def interrupt(self) -> None:
        """End the command that runs on the board, if there is one."""
        if self._connection is not None:
            self._connection.interrupt()

    def _check_running(self) -> None:
        # A command's progress comes from the thread that reads it, which has to go on.
        if self._stopped and threading.current_thread() is self._thread:
            raise RunFailedError(f"the work on '{self._board.name}' was stopped")
