"""Which network to take: the front of accuracy and latency, and the best within the budget."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bitat_deploy.exploration.candidates import Candidate
from bitat_deploy.exploration.costs import Budget, Cost
from bitat_deploy.exploration.work import Score

FINISHED, STOPPED, WAITING = "trained in full", "stopped early", "not trained in full"
OVER_BUDGET, UNKNOWN, FAILED = "over the budget", "cost unknown", "failed"


@dataclass(frozen=True)
class Row:
    """What is known of a candidate: ``validation`` after so many ``epochs``, and its ``state``.

    ``test`` is known of the front alone. ``reason`` says why it was not trained in full.
    """

    candidate: Candidate
    cost: Cost
    state: str
    epochs: int = 0
    validation: Score | None = None
    test: Score | None = None
    reason: str = ""

    @property
    def milliseconds(self) -> float | None:
        """Of one image."""
        return None if self.cost.timing is None else self.cost.timing.milliseconds


@dataclass(frozen=True)
class Chosen:
    """``front``, from the fastest to the most accurate network, which is recommended."""

    front: tuple[Row, ...]


def compared(rows: Sequence[Row]) -> list[Row]:
    """Rows that can be compared: of as many epochs as any has, with a known latency."""
    known = [row for row in rows if row.validation is not None and row.milliseconds is not None]
    most = max((row.epochs for row in known), default=0)
    return [row for row in known if row.epochs == most]


def choose(rows: Sequence[Row], budget: Budget) -> Chosen:
    """By validation images alone, among our networks: those in float32 are ONNX Runtime's.

    The faster of two that are equally accurate is better.
    """
    front: list[Row] = []
    fitting = [row for row in compared(rows) if row.candidate.bits and not budget.excess(row.cost)]
    for row in sorted(fitting, key=lambda row: (row.milliseconds, -_accuracy(row))):
        if not front or _accuracy(row) > _accuracy(front[-1]):
            front.append(row)
    return Chosen(tuple(front))


def with_test(chosen: Chosen, scores: dict[str, Score]) -> Chosen:
    """The same with the front's scores on the test images, by names; the choice stays."""
    return Chosen(tuple(replace(row, test=scores.get(row.candidate.name)) for row in chosen.front))


def _accuracy(row: Row) -> float:
    assert row.validation is not None
    return row.validation.accuracy
