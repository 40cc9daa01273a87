"""The work of one tuning run: which schedules to try, in batches for whoever measures them.

In a space with no more schedules than trials all are tried. In a larger one half of the trials are
drawn at random; the others are neighbours of the best so far, which differ from it in one choice.
docs/tuning.md says why this and not MetaSchedule.

Several devices may take batches at the same time; a batch that one could not measure goes to
another one.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bitat_deploy.records import OK, Record, schedule_key
from bitat_deploy.tuning.task import Task

BATCH = 8  # candidates; at most one batch is measured again after an interruption
_DRAWN_SHARE = 0.5


class Search:
    """The search in one space: proposes schedules and learns from their results.

    The same seed, space and results give the same proposals.
    """

    def __init__(self, space: Sequence[Any], trials: int, seed: int) -> None:
        self._schedules = {schedule_key(schedule): schedule for schedule in space}
        self.trials = min(trials, len(self._schedules))
        self._drawn = round(_DRAWN_SHARE * trials) if len(self._schedules) > trials else trials
        self._left = list(self._schedules)
        random.Random(seed).shuffle(self._left)  # noqa: S311 - no secret
        self._proposed = 0
        self._ratios: dict[str, float] = {}

    def propose(self, count: int) -> list[Any]:
        """Up to ``count`` schedules not proposed before; none when the search is over."""
        keys: list[str] = []
        while len(keys) < count and self._left and self._proposed < self.trials:
            key = self._next()
            self._left.remove(key)
            keys.append(key)
            self._proposed += 1
        return [self._schedules[key] for key in keys]

    def known(self, key: str, ratio: float | None) -> bool:
        """Count a result of an earlier run as a trial. False if the space has no such schedule."""
        if key not in self._left or self._proposed >= self.trials:
            return False
        self._left.remove(key)
        self._proposed += 1
        self.tell(key, ratio)
        return True

    def tell(self, key: str, ratio: float | None) -> None:
        """Give a schedule's time as a share of the default's; None: it does not count."""
        if ratio is not None:
            self._ratios[key] = ratio

    def _next(self) -> str:
        if self._proposed >= self._drawn:
            for best in sorted(self._ratios, key=lambda key: self._ratios[key]):
                for key in self._left:
                    if _differences(self._schedules[key], self._schedules[best]) == 1:
                        return key
        return self._left[0]


@dataclass(frozen=True, eq=False)
class Job:
    """Schedules of one task that are measured together; ``prepared`` is the measurer's own."""

    task: Task
    schedules: tuple[Any, ...]
    prepared: Any = None


class Work:
    """Open jobs, and the searches that make new ones from results. Thread-safe."""

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
        """Those with open jobs."""
        return {job.task.workload for job in self._open}

    def take(self) -> Job | None:
        """The next job; waits while running jobs may lead to another. None: all is done."""
        with self._changed:
            while not self._open and self._under_way and not self._stopped:
                self._changed.wait()
            if self._stopped or not self._open:
                return None
            self._under_way += 1
            return self._open.popleft()

    def finish(self, job: Job, ratios: Sequence[float | None]) -> None:
        """Give the results of a job's schedules: shares of the default's time, or None."""
        with self._changed:
            search = self._searches[job.task.workload]
            for schedule, ratio in zip(job.schedules, ratios, strict=True):
                search.tell(schedule_key(schedule), ratio)
            self._propose(job.task)
            self._under_way -= 1
            self._changed.notify_all()

    def give_back(self, job: Job) -> None:
        """Return a job, for another device to take."""
        with self._changed:
            self._open.appendleft(job)
            self._under_way -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Hand out no more jobs."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _propose(self, task: Task) -> None:
        schedules = tuple(self._searches[task.workload].propose(BATCH))
        if schedules and not self._stopped:
            self._open.append(Job(task, schedules, self._prepare(task, schedules)))


def _differences(one: Any, other: Any) -> int:
    """The number of choices in which two schedules differ."""
    if type(one) is not type(other):
        return 1 + max(len(asdict(one)), len(asdict(other)))
    values = asdict(other)
    return sum(value != values[name] for name, value in asdict(one).items())
