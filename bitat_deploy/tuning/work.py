"""The work of one tuning run: batches of candidates, handed to whoever measures them.

Several devices may take batches at the same time; a batch that a device could not measure is given
to another one.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bitat_deploy.compiler.record import OK, Record, schedule_key
from bitat_deploy.tuning.search import Search
from bitat_deploy.tuning.task import Task

BATCH = 8  # candidates; what a broken-off run measures again is at most one batch


@dataclass(frozen=True, eq=False)
class Job:
    """Schedules of one task that are measured together; ``prepared`` is the measurer's own."""

    task: Task
    schedules: tuple[Any, ...]
    prepared: Any = None


class Work:
    """Open jobs, and the searches that make new ones of results. Safe between threads."""

    def __init__(
        self,
        tasks: Sequence[Task],
        trials: int,
        seed: int,
        known: Sequence[Record],
        prepare: Callable[[Task, tuple[Any, ...]], Any] = lambda task, schedules: None,
    ) -> None:
        """``known`` are results of earlier runs. ``prepare`` is called when a job is made."""
        self._prepare = prepare
        self._changed = threading.Condition()
        self._open: deque[Job] = deque()
        self._under_way = 0
        self._stopped = False
        self._searches = {
            task.workload: Search(task.operator.space(), trials, seed) for task in tasks
        }
        self.resumed = 0
        defaults = {task.workload: schedule_key(task.operator.default_schedule) for task in tasks}
        for record in known:
            search = self._searches.get(record.workload)
            if record.default != defaults.get(record.workload):
                continue
            ratio = record.ratio if record.outcome == OK else None
            self.resumed += search is not None and search.known(record.schedule, ratio)
        self.total = sum(search.trials for search in self._searches.values())
        for task in tasks:
            self._propose(task)

    def workloads(self) -> set[str]:
        """Those of which something is open."""
        return {job.task.workload for job in self._open}

    def take(self) -> Job | None:
        """The next job; waits while jobs under way may lead to another. None: all is done."""
        with self._changed:
            while not self._open and self._under_way and not self._stopped:
                self._changed.wait()
            if self._stopped or not self._open:
                return None
            self._under_way += 1
            return self._open.popleft()

    def finish(self, job: Job, ratios: Sequence[float | None]) -> None:
        """Say what became of a job's schedules: shares of the default's time, or None."""
        with self._changed:
            search = self._searches[job.task.workload]
            for schedule, ratio in zip(job.schedules, ratios, strict=True):
                search.tell(schedule_key(schedule), ratio)
            self._propose(job.task)
            self._under_way -= 1
            self._changed.notify_all()

    def give_back(self, job: Job) -> None:
        """Leave a job to another device."""
        with self._changed:
            self._open.appendleft(job)
            self._under_way -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _propose(self, task: Task) -> None:
        schedules = tuple(self._searches[task.workload].propose(BATCH))
        if schedules and not self._stopped:
            self._open.append(Job(task, schedules, self._prepare(task, schedules)))
