"""What a candidate costs on a device: time, memory, size; kept in a file as they become known."""

import json
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bitat_deploy.errors import InputError
from bitat_deploy.files import whole_file
from bitat_deploy.plain_values import build_record

MODELLED = "modelled"
_POSSIBLE = (1e-9, 1e12)  # milliseconds


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one image on one thread, and the interval that the true value is in.

    Measured: the 99 % interval of the median. Modelled: the model's figure times the least and the
    greatest factor that it was off by on boards with this core; None where nobody compared.
    """

    milliseconds: float
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        low, high = self.interval or (self.milliseconds,) * 2
        least, most = _POSSIBLE
        if not (least <= self.milliseconds <= most and least <= low <= high <= most):
            raise InputError(f"milliseconds must be from {least:g} to {most:g}")


@dataclass(frozen=True)
class Cost:
    """``origin`` is MODELLED or the name of the board. Bytes: of memory at its peak, and of the
    model; modelled, they are activations and weights alone. ``failure`` says why nothing is known.
    ``others``: the same shape in other runtimes on the same board, by name; ``doubts``: why the
    board's times are not trustworthy; ``emulated``: it is none.
    """

    origin: str
    timing: Timing | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    failure: str = ""
    others: dict[str, Timing] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    emulated: bool = False

    def __post_init__(self) -> None:
        if min(self.memory_bytes or 0, self.size_bytes or 0) < 0:
            raise InputError("memory_bytes and size_bytes must not be negative")


@dataclass(frozen=True)
class Budget:
    """The most that a network may need; None: no limit. ``milliseconds`` of one image."""

    milliseconds: float | None = None
    memory_bytes: float | None = None
    size_bytes: float | None = None

    def excess(self, cost: Cost, *, certain: bool = False) -> str:
        """What of ``cost`` is too much; empty where nothing is.

        ``certain``: only by more than the time's interval.
        """
        timing = cost.timing
        if timing is not None and self.milliseconds is not None:
            least = timing.interval[0] if certain and timing.interval else timing.milliseconds
            if least > self.milliseconds:
                return f"{timing.milliseconds:.3g} ms"
        for needed, allowed, what in (
            (cost.memory_bytes, self.memory_bytes, "memory"),
            (cost.size_bytes, self.size_bytes, "size"),
        ):
            if needed is not None and allowed is not None and needed > allowed:
                return f"{needed:,} bytes of {what}"
        return ""


class CostFile:
    """Costs by candidates' names, written at each change: what was measured is not lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.costs: dict[str, Cost] = {}
        if path.exists():
            try:
                document = json.loads(path.read_text())
                self.costs = {
                    name: build_record(Cost, entry, name) for name, entry in document.items()
                }
            except (OSError, ValueError, AttributeError, RecursionError, InputError) as error:
                raise InputError(
                    f"'{path}' is damaged; remove it to compute its costs again"
                ) from error

    def add(self, name: str, cost: Cost) -> None:
        """Keep one more; from any thread. Raises OSError."""
        with self._lock:
            self.costs[name] = cost
            document = {name: asdict(one) for name, one in self.costs.items()}
            with whole_file(self._path) as file:
                file.write(json.dumps(document, indent=1).encode())
