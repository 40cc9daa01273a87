"""From a mixed network to one Relax module: our operators, and TVM's for the float32 layers."""

from dataclasses import dataclass, replace
from typing import Any

from tvm import relax
from tvm.ir import IRModule

from bitat_deploy.compiler.float_region import (
    FloatRegion,
    calls_of,
    emit_region,
    import_region,
)
from bitat_deploy.compiler.layer_report import LayerReport, layer_symbols
from bitat_deploy.compiler.lowering import LoweredLayer, lower_layer
from bitat_deploy.compiler.relax_module import ENTRY_POINT, emit_layer
from bitat_deploy.foreign import MixedNetwork, describe_float_layer, float_layer_macs, float_layers
from bitat_deploy.network import IMAGE, Codes, Convolution, Quantize, QuantizeFloat
from bitat_deploy.onnx_format import DOMAIN
from bitat_deploy.operators import operator_for
from bitat_deploy.records import Records
from bitat_deploy.target import Target

_FLOAT_BITS = 32


@dataclass(frozen=True, eq=False)
class _Step:
    """A layer, the tensors it reads, the one of ours that it writes, and its rows in the table."""

    compiled: LoweredLayer | FloatRegion
    output: str
    reports: tuple[LayerReport, ...]


def mixed_module(
    network: MixedNetwork, target: Target, records: Records
) -> tuple[IRModule, tuple[LayerReport, ...]]:
    """The network as a Relax function ``main``, and the rows of the layer table.

    Raises UnsupportedOperatorError naming the first node that nothing compiles.
    """
    steps = _steps(network, target, records)
    reports = [report for step in steps for report in step.reports]
    symbols = iter(layer_symbols([report.name for report in reports]))
    builder = relax.BlockBuilder()
    image = relax.Var(IMAGE, relax.TensorType((1, *network.input_shape), "uint8"))
    values: dict[str, Any] = {IMAGE: image}
    with builder.function(ENTRY_POINT, [image]):
        with builder.dataflow():
            for step in steps:
                names = [next(symbols) for _ in step.reports]
                if isinstance(step.compiled, FloatRegion):
                    values |= emit_region(builder, step.compiled, values, names)
                else:
                    values[step.output] = emit_layer(builder, step.compiled, values, names[0])
            logits = builder.emit_output(values[network.graph.output])
        builder.emit_func_output(logits)
    return builder.get(), tuple(reports)


def integer_layers(network: MixedNetwork, target: Target) -> tuple[LoweredLayer, ...]:
    """The layers that are ours, by their default schedules, in order; the rest is left out.

    Inputs are named by the layer that writes them, or are tensors that none of ours writes.
    """
    names = {tensor: layer.name for tensor, layer in network.layers.items()}
    layers = []
    for step in _our_steps(network, target, Records()).values():
        assert isinstance(step.compiled, LoweredLayer)
        inputs = tuple(names.get(tensor, tensor) for tensor in step.compiled.inputs)
        layers.append(replace(step.compiled, inputs=inputs))
    return tuple(layers)


def _steps(network: MixedNetwork, target: Target, records: Records) -> list[_Step]:
    """The layers in an order in which each comes after those that it reads."""
    ours, groups = _our_steps(network, target, records), float_layers(network.graph)
    steps = []
    for node in network.graph.nodes:
        if node.output[0] in ours:
            steps.append(ours[node.output[0]])
        elif node.name in groups and node.domain != DOMAIN:
            region = import_region(network.graph, groups[node.name], target)
            reports = _region_reports(network, region)
            steps.append(_Step(region, region.layer.outputs[0], reports))
    return steps


def _our_steps(network: MixedNetwork, target: Target, records: Records) -> dict[str, _Step]:
    """Our layers in the graph's order, by the tensor that each writes."""
    tensors = [node.output[0] for node in network.graph.nodes]
    return {
        tensor: _our_step(network, tensor, target, records)
        for tensor in tensors
        if tensor in network.layers
    }


def _our_step(network: MixedNetwork, output: str, target: Target, records: Records) -> _Step:
    layer = network.layers[output]
    if isinstance(layer, QuantizeFloat):
        report = _boundary_report(layer)
        operator = operator_for(layer, network.formats, target)
        return _Step(LoweredLayer(operator, operator.reads, report), output, (report,))
    compiled = lower_layer(layer, network.formats, target, records)
    if not isinstance(layer, Convolution):
        return _Step(compiled, output, (compiled.report,))
    file = network.in_file[layer.name]
    notes = list(file.notes)
    source = network.formats[layer.input]
    if not isinstance(source, Codes):
        notes.insert(0, "int8: the file has 8-bit weights and input here")
    else:
        if not isinstance(layer.output, Quantize):
            notes.insert(0, "its sums are read in float32")
        if file.weight_bits > 1 or file.activation_bits > 1:
            notes.insert(0, f"{file.weight_bits}-bit weights, {file.activation_bits}-bit input")
    report = replace(
        compiled.report,
        reason="; ".join(notes),
        weight_bits=file.weight_bits,
        activation_bits=file.activation_bits,
        macs=file.macs,
        binarized=(file.weight_bits, file.activation_bits) == (1, 1),
    )
    return _Step(compiled, output, (report,))


def _boundary_report(layer: QuantizeFloat) -> LayerReport:
    channels, height, width = layer.input_shape
    return LayerReport(
        name=layer.name,
        kind=f"quantization to {layer.bits} bit" + ("s" if layer.bits > 1 else ""),
        input_shape=(height, width, channels),
        output_shape=layer.codes.shape,
        weight_bits=0,
        activation_bits=_FLOAT_BITS,
        macs=0,
        binarized=False,
        fused=False,
        packed_output=True,
        reason="it has no weights, and reads float32",
    )


def _region_reports(network: MixedNetwork, region: FloatRegion) -> tuple[LayerReport, ...]:
    """A row for each TIR function; the first has the layer's name and work."""
    layer, graph = region.layer, network.graph
    reasons = [network.reasons[n.name] for n in layer.nodes if n.name in network.reasons]
    work = float_layer_macs(graph, layer)
    source = next((t for t in layer.inputs if t in graph.types), layer.outputs[0])
    whole = LayerReport(
        name=layer.name,
        kind=describe_float_layer(graph, layer),
        input_shape=_shape(network, source),
        output_shape=_shape(network, layer.outputs[0]),
        weight_bits=_FLOAT_BITS if work else 0,
        activation_bits=_FLOAT_BITS,
        macs=work,
        binarized=False,
        fused=False,
        packed_output=False,
        reason="float32, by TVM: " + (reasons[0] if reasons else "it is not binarized"),
    )
    rows = [whole]
    for index in range(1, len(calls_of(region))):
        name = f"{layer.name} ({index + 1})"
        rows.append(replace(whole, name=name, macs=0, weight_bits=0))
    return tuple(rows[: len(calls_of(region))])


def _shape(network: MixedNetwork, tensor: str) -> tuple[int, ...]:
    """(height, width, channels) of an image-like tensor, (features,) of others."""
    shape = network.graph.types[tensor].shape
    ours = tensor == IMAGE or tensor in network.formats  # NHWC, the rest NCHW
    if len(shape) == 4 and not ours:
        return shape[2], shape[3], shape[1]
    return tuple(shape[1:]) or (1,)
