"""Several boards at once, each on its own: a failure of one does not stop the others."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bitat_deploy.device.bench_options import Progress
from bitat_deploy.device.bench_result import BenchResult
from bitat_deploy.device.connection import Connection
from bitat_deploy.errors import BitatDeployError, RunFailedError


@dataclass(frozen=True)
class Board:
    """A device, what it is called in reports, and its bundle, None for everybody's."""

    host: str
    name: str
    bundle: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a board: either a result or an error."""

    board: Board
    result: BenchResult | None
    error: BitatDeployError | None


# Measures a board over an open connection.
Measure = Callable[[Board, Connection, Progress], BenchResult]


def bench_boards(
    boards: Sequence[Board],
    connect: Callable[[Board], Connection],
    measure: Measure,
    progress: Callable[[Board, str, int, int], None],
) -> list[Outcome]:
    """Measure all ``boards`` at once; their outcomes in the same order.

    Ctrl-C ends what runs on each of them. A single board needs no other thread.
    """
    runs = [_BoardRun(board, connect, measure, progress) for board in boards]
    if len(runs) == 1:
        return [runs[0]()]
    with ThreadPoolExecutor(len(runs)) as pool:
        futures = [pool.submit(run) for run in runs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for run in runs:
                run.stop()
            raise


class _BoardRun:
    """One board in a thread of its own, which another thread may stop."""

    def __init__(
        self,
        board: Board,
        connect: Callable[[Board], Connection],
        measure: Measure,
        progress: Callable[[Board, str, int, int], None],
    ) -> None:
        self._board, self._connect, self._measure = board, connect, measure
        self._report = progress
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def __call__(self) -> Outcome:
        self._thread = threading.current_thread()
        try:
            with self._connect(self._board) as connection:
                self._connection = connection
                result = self._measure(self._board, connection, self._progress)
        except BitatDeployError as error:
            return Outcome(self._board, None, error)
        return Outcome(self._board, result, None)

    def stop(self) -> None:
        """End what runs on the board; its thread then tidies up there and ends."""
        self._stopped = True
        if self._connection is not None:
            self._connection.interrupt()

    def _progress(self, stage: str, done: int, total: int) -> None:
        # A command's own progress comes from the thread that reads it, which is not to be ended.
        if self._stopped and threading.current_thread() is self._thread:
            raise RunFailedError(f"the bench of '{self._board.name}' was stopped")
        self._report(self._board, stage, done, total)
