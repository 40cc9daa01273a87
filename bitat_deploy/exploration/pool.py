"""Runs side by side in worker processes, until the time is over."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from bitat_deploy.errors import BitatDeployError, BuildError

_PATIENCE = 1.0  # seconds between two looks at the clock


class OutOfTimeError(Exception):
    """Time ran out before everything was done; what is finished is kept."""


@dataclass(frozen=True)
class Job:
    """A call for a worker; ``name`` tells it apart from others."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Clock:
    """How long the exploration has taken, earlier commands included, and may take."""

    def __init__(self, used: float, limit: float | None) -> None:
        self._began = time.monotonic()
        self._used = used
        self._limit = limit

    @property
    def used(self) -> float:
        """Seconds."""
        return self._used + time.monotonic() - self._began

    @property
    def left(self) -> float | None:
        """Seconds; None without a limit."""
        return None if self._limit is None else max(self._limit - self.used, 0.0)


@dataclass(frozen=True)
class Workers:
    """``count`` processes of ``threads`` each, for as long as ``clock`` allows."""

    pool: ProcessPoolExecutor
    count: int
    threads: int
    clock: Clock

    def run(
        self,
        waiting: Callable[[], Sequence[Job]],
        done: Callable[[Job, Any], None],
        failed: Callable[[Job, BitatDeployError], None] | None = None,
    ) -> None:
        """Run the jobs that ``waiting`` lists, the first ones first, until it lists none.

        It is asked anew whenever a job has ended: ``done`` changes what waits. Our errors go to
        ``failed``; without it, and all others, they are raised. Raises OutOfTimeError.
        """
        running: dict[Future[Any], Job] = {}
        while True:
            names = {job.name for job in running.values()}
            for job in [job for job in waiting() if job.name not in names]:
                if len(running) < self.count:
                    running[self.pool.submit(job.function, *job.arguments)] = job
            if not running:
                return
            for future in wait(running, _PATIENCE, FIRST_COMPLETED).done:
                job = running.pop(future)
                error = future.exception()
                if error is None:
                    done(job, future.result())
                elif isinstance(error, BrokenExecutor):
                    raise BuildError(
                        "a training process was killed, perhaps for lack of memory; "
                        "run the same command again with fewer --jobs: it continues"
                    ) from error
                elif failed is not None and isinstance(error, BitatDeployError):
                    failed(job, error)
                else:
                    raise error
            if self.clock.left == 0.0:
                raise OutOfTimeError
