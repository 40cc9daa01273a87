"""How much to try, and how to measure it. Imports no TVM, so that ``--help`` is quick."""

from dataclasses import dataclass, field

from bitat_deploy.host_system import usable_cores

MOST_JOBS = 256


def default_jobs() -> int:
    """One for each core that this process may use."""
    return min(usable_cores(), MOST_JOBS)


@dataclass(frozen=True)
class Effort:
    """How to measure one candidate: ``rounds`` times, each ``measure_ms`` after ``warmup_ms``.

    A pause of ``cool_down_ms`` follows each. The candidate is killed after ``timeout_ms``. A batch
    is measured again, up to ``attempts`` times in all, if the default schedule's time changed by
    more than the share ``most_noise``.
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
    """At most ``trials`` candidates for each distinct layer, built by ``jobs`` processes.

    ``again``: also measure what the file of records already has. ``force``: also measure on a
    device whose condition makes its times worthless.
    """

    trials: int = 32
    jobs: int = field(default_factory=default_jobs)
    seed: int = 0
    again: bool = False
    force: bool = False
    effort: Effort = field(default_factory=Effort)
