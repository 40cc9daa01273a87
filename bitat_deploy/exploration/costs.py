"""What a candidate costs on a device: time, memory, size; kept in a file as they become known."""

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bitat_deploy.compiler import LoweredLayer, lower_layers
from bitat_deploy.cycle_model import modelled_network
from bitat_deploy.errors import BuildError, InputError
from bitat_deploy.files import whole_file
from bitat_deploy.network import IMAGE
from bitat_deploy.plain_values import build_record
from bitat_deploy.records import load_records
from bitat_deploy.target import Target

MODELLED = "modelled"


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one image on one thread, and the interval that the true value is in.

    Measured: the 99 % interval of the median. Modelled: the model's figure times the least and the
    greatest factor that it was off by on boards with this core; None where nobody compared.
    """

    milliseconds: float
    interval: tuple[float, float] | None = None


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


def modelled_cost(
    recipe: dict[str, Any],
    input_shape: tuple[int, int, int],
    class_names: tuple[str, ...],
    target: Target,
) -> Cost:
    """Of a recipe's network with drawn weights. What cannot be built or followed has a ``failure``.

    Raises InputError where there is no model of the target's processor or no llvm-mca.
    """
    from bitat_deploy.training import drawn_network, recipe_from_mapping

    try:
        network = drawn_network(recipe_from_mapping(recipe), input_shape, class_names)
    except InputError as error:
        return Cost(MODELLED, failure=str(error))
    records = load_records(target)
    try:
        modelled = modelled_network(network, target, records)
    except BuildError as error:
        return Cost(MODELLED, failure=str(error))
    milliseconds = modelled.milliseconds
    if milliseconds is None:
        raise InputError(
            f"target '{target.name}' has no clock_mhz, so cycles give no time; add it to the "
            "target's file, or measure with --host"
        )
    factors, interval = modelled.error, None
    if factors.lowest is not None and factors.highest is not None:
        low, high = min(factors.lowest, 1.0), max(factors.highest, 1.0)
        interval = (milliseconds * low, milliseconds * high)
    layers = lower_layers(network, target, records)
    weights = sum(array.nbytes for layer in layers for array in layer.operator.constants())
    peak = weights + _most_alive(layers)
    return Cost(MODELLED, Timing(milliseconds, interval), peak, weights)


def _most_alive(layers: Sequence[LoweredLayer]) -> int:
    """Bytes of the tensors that are needed at the same time, at most."""
    size = {layer.report.name: _bytes(layer.operator.output) for layer in layers}
    last = {name: index for index, layer in enumerate(layers) for name in layer.inputs}
    size[IMAGE] = _bytes(layers[0].operator.inputs[0])
    alive, most = {IMAGE}, 0
    for index, layer in enumerate(layers):
        alive.add(layer.report.name)
        most = max(most, sum(size[name] for name in alive))
        alive = {name for name in alive if last.get(name, -1) > index}
    return most


def _bytes(spec: Any) -> int:
    widths = {"uint8": 1, "int8": 1, "int16": 2, "int32": 4, "float32": 4}
    return int(spec.size) * widths[spec.dtype]


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
            except (OSError, ValueError, AttributeError, InputError) as error:
                raise InputError(
                    f"'{path}' is damaged; remove it, and its costs are found anew"
                ) from error

    def add(self, name: str, cost: Cost) -> None:
        """Keep one more; from any thread. Raises OSError."""
        with self._lock:
            self.costs[name] = cost
            document = {name: asdict(one) for name, one in self.costs.items()}
            with whole_file(self._path) as file:
                file.write(json.dumps(document, indent=1).encode())
