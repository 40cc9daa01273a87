"""How far the model was off where published times of real boards can be compared.

``accuracy.json`` holds the comparisons: programs of others, the same binaries on a real board, by
their publisher, and in the model. ``scripts/check-cycle-model`` writes the modelled figures.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from bitat_deploy.plain_values import build_record
from bitat_deploy.target import Target

FILE = "accuracy.json"


@dataclass(frozen=True)
class Comparison:
    """One program on one board: its publisher's time, and million cycles by the model.

    ``arithmetic`` is that of the network, "int8" or "float32"; ``milliseconds`` at ``megahertz`` on
    one core are the publisher's. ``modelled`` is None where it was not modelled yet,
    ``short_queues`` where the processor has no second model. ``misses`` are lines of 64 bytes that
    the emulated first and second level of cache did not hold, in millions, without prefetching.
    """

    processor: str
    board: str
    program: str
    network: str
    arithmetic: str
    milliseconds: float
    megahertz: float
    source: str
    modelled: float | None = None
    short_queues: float | None = None
    misses: tuple[float, ...] = ()

    @property
    def real(self) -> float:
        """Million cycles on the board."""
        return self.milliseconds * self.megahertz / 1000

    def factor(self, short_queues: bool) -> float | None:
        """How many times as many cycles the board took as the model says."""
        modelled = self.short_queues if short_queues else self.modelled
        return self.real / modelled if modelled else None


@dataclass(frozen=True)
class ModelError:
    """The factors of one processor: cycles on real boards, over those of the model.

    None where the model was never compared with a board that has this processor.
    """

    processor: str
    lowest: float | None = None
    highest: float | None = None

    @property
    def sentence(self) -> str:
        """What has to stand beside every modelled figure."""
        if self.lowest is None or self.highest is None:
            return f"the model of the {self.processor} was never compared with a real board"
        low, high = f"{self.lowest:.2f}", f"{self.highest:.2f}"
        factors = low if low == high else f"{low} to {high}"
        return f"other programs took {factors} times the modelled cycles on a real {self.processor}"


def model_error(target: Target, short_queues: bool = False) -> ModelError:
    """The error of the target's model, or of its second one, on the target's processor."""
    found = [x.factor(short_queues) for x in comparisons() if x.processor == target.cpu]
    factors = [factor for factor in found if factor is not None]
    if not factors:
        return ModelError(target.cpu)
    return ModelError(target.cpu, min(factors), max(factors))


@cache
def comparisons() -> tuple[Comparison, ...]:
    """All that was compared."""
    path = Path(str(resources.files("bitat_deploy.cycle_model"))) / FILE
    document = json.loads(path.read_text())
    return tuple(
        build_record(Comparison, entry, f"{FILE}[{number}]")
        for number, entry in enumerate(document["comparisons"])
    )
