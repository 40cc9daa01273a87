"""A whole network by the model: every layer as a build would compile it, on one core."""

from dataclasses import dataclass
from functools import lru_cache

from bitat_deploy.compiler import LayerReport, LoweredLayer, lower_layers
from bitat_deploy.cycle_model.accuracy import ModelError, model_error
from bitat_deploy.cycle_model.block_models import short_queue_model
from bitat_deploy.cycle_model.kernel_cost import KernelCost, kernel_cost
from bitat_deploy.network import IntegerNetwork
from bitat_deploy.operators import Operator
from bitat_deploy.records import Records
from bitat_deploy.target import Target

_KEPT = 4096  # costs of layers, of some thousand bytes each


@dataclass(frozen=True)
class ModelledLayer:
    """One layer: its row of the layer table, the key of its shape and code, its cost."""

    report: LayerReport
    workload: str
    cost: KernelCost


@dataclass(frozen=True)
class ModelledNetwork:
    """One inference of one image on one core of ``target``, and how far the model was off."""

    target: Target
    layers: tuple[ModelledLayer, ...]
    error: ModelError

    @property
    def cycles(self) -> float:
        """Cycles of all layers; what is between the layers is left out."""
        return sum(layer.cost.cycles for layer in self.layers)

    @property
    def milliseconds(self) -> float | None:
        """The same as a time, at the target's clock; None where that is not known."""
        return self.cycles / self.target.clock_mhz / 1000 if self.target.clock_mhz else None


def modelled_network(
    network: IntegerNetwork,
    target: Target,
    records: Records | None = None,
    short_queues: bool = False,
) -> ModelledNetwork:
    """Cost every layer with the fastest schedules in ``records``, or the default ones.

    ``short_queues`` asks for the second model of a processor that has one.

    Layers of the same workload and schedule are costed once in a process. Raises InputError where
    there is no model of the target's processor or no llvm-mca, BuildError where the code cannot be
    followed.
    """
    lowered = lower_layers(network, target, records)
    layers = tuple(_modelled_layer(layer, short_queues) for layer in lowered)
    return ModelledNetwork(target, layers, model_error(target, short_queues))


def _modelled_layer(layer: LoweredLayer, short_queues: bool) -> ModelledLayer:
    cost = _cost(_Shape(layer.operator), short_queues)
    return ModelledLayer(layer.report, layer.operator.workload, cost)


class _Shape:
    """An operator as a key: what its code depends on, not its weights."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self._key = (operator.workload, operator.target, repr(operator.schedule))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shape) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=_KEPT)
def _cost(shape: _Shape, short_queues: bool) -> KernelCost:
    target = shape.operator.target
    model = short_queue_model(target) if short_queues else None
    return kernel_cost(shape.operator, target, model)
