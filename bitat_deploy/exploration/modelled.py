"""What a candidate costs by the cycle model. Imports TVM."""

from collections.abc import Sequence
from typing import Any

from bitat_deploy.compiler import LoweredLayer, lower_layers
from bitat_deploy.cycle_model import modelled_network
from bitat_deploy.errors import BuildError, InputError
from bitat_deploy.exploration.costs import MODELLED, Cost, Timing
from bitat_deploy.network import IMAGE
from bitat_deploy.records import load_records
from bitat_deploy.target import Target


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
