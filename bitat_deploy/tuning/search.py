"""Which schedules to try: all of a small space, the promising ones of a large one.

In a space with no more schedules than trials all are tried. In a larger one half of the trials are
drawn at random; the others are neighbours of the best so far, which differ from it in one choice.
docs/tuning.md says why this and not MetaSchedule.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bitat_deploy.compiler.record import schedule_key

_DRAWN_SHARE = 0.5


class Search:
    """The search in one space: proposes schedules, is told what became of them.

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
        """At most ``count`` schedules that were not proposed yet; none when the search is over."""
        keys: list[str] = []
        while len(keys) < count and self._left and self._proposed < self.trials:
            key = self._next()
            self._left.remove(key)
            keys.append(key)
            self._proposed += 1
        return [self._schedules[key] for key in keys]

    def known(self, key: str, ratio: float | None) -> bool:
        """A result of an earlier run: counts as a trial. False for what the space has not."""
        if key not in self._left or self._proposed >= self.trials:
            return False
        self._left.remove(key)
        self._proposed += 1
        self.tell(key, ratio)
        return True

    def tell(self, key: str, ratio: float | None) -> None:
        """What a schedule took as a share of the default's time; None: it does not count."""
        if ratio is not None:
            self._ratios[key] = ratio

    def _next(self) -> str:
        if self._proposed >= self._drawn:
            for best in sorted(self._ratios, key=lambda key: self._ratios[key]):
                for key in self._left:
                    if _differences(self._schedules[key], self._schedules[best]) == 1:
                        return key
        return self._left[0]


def _differences(one: Any, other: Any) -> int:
    """In how many choices two schedules differ."""
    if type(one) is not type(other):
        return 1 + max(len(asdict(one)), len(asdict(other)))
    values = asdict(other)
    return sum(value != values[name] for name, value in asdict(one).items())
