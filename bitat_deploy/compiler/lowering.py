"""From the layers of an integer network to operators, each with its row of the layer table."""

from collections.abc import Mapping
from dataclasses import dataclass

from bitat_deploy.compiler.describe_layer import describe_layer
from bitat_deploy.compiler.layer_report import LayerReport
from bitat_deploy.network import ByteLayer, Format, IntegerNetwork, Layer
from bitat_deploy.operators import Operator, operator_for
from bitat_deploy.records import Records
from bitat_deploy.target import Target


@dataclass(frozen=True)
class LoweredLayer:
    """An operator, the names of the tensors it reads, and its row of the layer table."""

    operator: Operator
    inputs: tuple[str, ...]
    report: LayerReport


def lower_layers(
    network: IntegerNetwork, target: Target, records: Records | None = None
) -> tuple[LoweredLayer, ...]:
    """Find the operator for each layer; the order is the network's.

    An operator whose workload is in ``records`` has the fastest schedule among them.
    """
    formats = network.formats()
    records = records or Records()
    return tuple(lower_layer(layer, formats, target, records) for layer in network.layers)


def lower_layer(
    layer: Layer | ByteLayer,
    formats: Mapping[str, Format],
    target: Target,
    records: Records,
) -> LoweredLayer:
    """Find the operator for one layer, with ``formats`` of what it reads and writes."""
    source, output = formats[layer.input], formats[layer.name]
    operator = operator_for(layer, formats, target)
    choice = records.choose(operator)
    if choice is not None and choice.schedule is not None:
        operator = operator.with_schedule(choice.schedule)
    report = describe_layer(layer, source, output, choice.origin if choice is not None else "")
    return LoweredLayer(operator, operator.reads, report)
