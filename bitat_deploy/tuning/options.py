"""How much to try, and how to measure it. Imports no TVM, so that ``--help`` is quick."""

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Effort:
    """How to measure one candidate: ``rounds`` times, each ``measure_ms`` after ``warmup_ms``.

    It is ended after ``timeout_ms``. ``cool_down_ms`` is the rest after each. A batch in which the
    default schedule's time changed by more than the share ``most_noise`` is measured again, up to
    ``attempts`` times in all.
    """

    rounds: int = 2
    warmup_ms: int = 10
    measure_ms: int = 40
    timeout_ms: int = 10_000
    cool_down_ms: int = 20
    threads: int = 1
    most_noise: float = 0.05
    attempts: int = 3


@dataclass(frozen=True)
class TuneOptions:
    """``trials`` candidates at most for each distinct layer, built by ``jobs`` processes.

    ``again``: what the file of records already has is measured nevertheless. ``force``: also where
    the device is not fit to be measured on.
    """

    trials: int = 32
    jobs: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    seed: int = 0
    again: bool = False
    force: bool = False
    effort: Effort = field(default_factory=Effort)
