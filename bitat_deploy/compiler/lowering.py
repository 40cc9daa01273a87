"""Layers of an integer network to our operators, one by one, each with what to say about it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bitat_deploy.compiler.choose_operator import layer_operator
from bitat_deploy.compiler.describe_layer import describe_layer
from bitat_deploy.compiler.layer_report import LayerReport
from bitat_deploy.compiler.records import Records
from bitat_deploy.network import Convolution, Format, IntegerNetwork, Layer, Requantize
from bitat_deploy.operators import Operator
from bitat_deploy.target import Target


@dataclass(frozen=True)
class LoweredLayer:
    """An operator, ready to be compiled, the layers it reads, and what to say about it."""

    operator: Operator
    inputs: tuple[str, ...]
    report: LayerReport


def lower_layers(
    network: IntegerNetwork, target: Target, records: Records | None = None
) -> tuple[LoweredLayer, ...]:
    """Find the operator for each layer; the order is the network's.

    Where ``records`` know of its workload, the operator has the schedule that they say is fastest.
    """
    formats = network.formats()
    records = records or Records()
    return tuple(lower_layer(layer, formats, target, records) for layer in network.layers)


def lower_layer(
    layer: Layer, formats: Mapping[str, Format], target: Target, records: Records
) -> LoweredLayer:
    """Find the operator for one layer, with ``formats`` of what it reads and writes."""
    source, output = formats[layer.input], formats[layer.name]
    operator = layer_operator(layer, formats, target)
    choice = records.choose(operator)
    if choice is not None and choice.schedule is not None:
        operator = operator.with_schedule(choice.schedule)
    report = describe_layer(layer, source, output, choice.origin if choice is not None else "")
    return LoweredLayer(operator, _inputs(layer), report)


def _inputs(layer: Layer) -> tuple[str, ...]:
    """Names of the layers that it reads, in the order of its operator's inputs."""
    stage = layer.output if isinstance(layer, Convolution) else None
    shortcut = stage.shortcut if isinstance(stage, Requantize) else None
    return (layer.input,) if shortcut is None else (layer.input, shortcut)
