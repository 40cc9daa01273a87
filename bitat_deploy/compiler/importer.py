"""Layers of an integer network to our operators, one by one, with a report on each layer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitat_deploy.compiler.choose_operator import layer_operator
from bitat_deploy.compiler.layer_report import LayerReport
from bitat_deploy.compiler.records import Records
from bitat_deploy.network import (
    AveragePoolStream,
    Codes,
    Convolution,
    Format,
    GlobalSum,
    Image,
    IntegerNetwork,
    Layer,
    Quantize,
    QuantizedDense,
    QuantizeStream,
    Requantize,
)
from bitat_deploy.operators import Operator
from bitat_deploy.target import Target


@dataclass(frozen=True)
class CompiledLayer:
    """An operator, ready to be compiled, the layers it reads, and what to say about it."""

    operator: Operator
    inputs: tuple[str, ...]
    report: LayerReport


def import_layers(
    network: IntegerNetwork, target: Target, records: Records | None = None
) -> tuple[CompiledLayer, ...]:
    """Find the operator for each layer; the order is the network's.

    Where ``records`` know of its workload, the operator has the schedule that they say is fastest.
    """
    formats = network.formats()
    records = records or Records()
    return tuple(import_layer(layer, formats, target, records) for layer in network.layers)


def import_layer(
    layer: Layer, formats: Mapping[str, Format], target: Target, records: Records
) -> CompiledLayer:
    """Find the operator for one layer, with ``formats`` of what it reads and writes."""
    source, output = formats[layer.input], formats[layer.name]
    operator = layer_operator(layer, formats, target)
    choice = records.choose(operator)
    if choice is not None and choice.schedule is not None:
        operator = operator.with_schedule(choice.schedule)
    report = LayerReport(
        name=layer.name,
        kind=_kind(layer),
        input_shape=source.shape,
        output_shape=output.shape,
        weight_bits=_weight_bits(layer),
        activation_bits=_activation_bits(source),
        macs=_macs(layer, output),
        binarized=_activation_bits(source) == 1 and _weight_bits(layer) <= 1,
        fused=_fused(layer),
        packed_output=isinstance(output, Codes),
        reason=_reason(layer, source),
        tuned=choice.origin if choice is not None else "",
    )
    return CompiledLayer(operator, _inputs(layer), report)


def _inputs(layer: Layer) -> tuple[str, ...]:
    """Names of the layers that it reads, in the order of its operator's inputs."""
    stage = layer.output if isinstance(layer, Convolution) else None
    shortcut = stage.shortcut if isinstance(stage, Requantize) else None
    return (layer.input,) if shortcut is None else (layer.input, shortcut)


def _kind(layer: Layer) -> str:
    """The layer's kind as the table has it."""
    if isinstance(layer, Convolution):
        kernel = f"{layer.kernel}x{layer.kernel}"
        stride = f", stride {layer.stride}" if layer.stride > 1 else ""
        if layer.pointwise and layer.weight_bits <= 4:
            return f"pointwise {kernel}"
        if layer.depthwise and layer.weight_bits <= 4:
            return f"depthwise {kernel}{stride}"
        groups = f", {layer.groups} groups" if layer.groups > 1 else ""
        return f"conv {kernel}{stride}{groups}"
    return {
        "QuantizeStream": "quantization",
        "AveragePoolStream": "average pool 2x2",
        "MaxPool": "max pool",
        "GlobalSum": "global sum",
        "QuantizedDense": "dense",
    }[type(layer).__name__]


def _weight_bits(layer: Layer) -> int:
    if isinstance(layer, Convolution):
        return layer.weight_bits
    return 8 if isinstance(layer, QuantizedDense) else 0


def _activation_bits(source: Format) -> int:
    if isinstance(source, Codes):
        return source.bits
    return {"Image": 8, "Stream": 16}.get(type(source).__name__, 32)


def _macs(layer: Layer, output: Format) -> int:
    if isinstance(layer, Convolution):
        return int(np.prod(output.shape) * np.prod(layer.weight.shape[1:]))
    return int(layer.weight.size) if isinstance(layer, QuantizedDense) else 0


def _fused(layer: Layer) -> bool:
    """Whether what follows the layer's sums happens inside its operator."""
    if isinstance(layer, Convolution):
        return isinstance(layer.output, Quantize | Requantize)
    return isinstance(layer, QuantizedDense)


def _reason(layer: Layer, source: Format) -> str:
    """Why a layer is not binarized, fused and packed."""
    if isinstance(layer, Convolution):
        return " and ".join(_reasons_of_convolution(layer, source))
    if isinstance(layer, GlobalSum):
        return "it has no weights, and the 8-bit classifier reads its int32 counts"
    if isinstance(layer, AveragePoolStream | QuantizeStream):
        return "it has no weights, and reads the int16 stream"
    if isinstance(layer, QuantizedDense):
        return "the classifier has 8-bit weights and writes float32 logits"
    return "it has no weights, and no sums that are normalised"


def _reasons_of_convolution(layer: Convolution, source: Format) -> list[str]:
    reasons = []
    if isinstance(source, Image):
        reasons.append("the first layer reads the 8-bit image")
    elif isinstance(source, Codes) and max(source.bits, layer.weight_bits) > 1:
        bits = f"{layer.weight_bits}-bit weights and {source.bits}-bit activations"
        reasons.append(f"its network has {bits}")
    if isinstance(layer.output, Requantize):
        reasons.append("it writes the int16 stream, which carries shortcuts")
    elif not isinstance(layer.output, Quantize):
        reasons.append("its int32 sums are read as they are")
    return reasons
