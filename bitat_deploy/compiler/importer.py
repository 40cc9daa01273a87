"""Layers of an integer network to our operators, one by one, with a report on each layer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitat_deploy.compiler.choose_operator import layer_operator
from bitat_deploy.compiler.layer_report import LayerReport
from bitat_deploy.compiler.records import Records
from bitat_deploy.errors import UnsupportedOperatorError
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

_SUPPORTED = (
    "an 8-bit convolution of the picture, depthwise and 1x1 convolutions with 1-bit weights and "
    "activations, each with 1-bit output and depthwise ones padded with +1; of the int16 stream "
    "1-bit quantization and 2x2 average; global sums of 1-bit codes and of the stream; and the "
    "8-bit classifier"
)


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
    Raises UnsupportedOperatorError naming the first layer that no operator computes.
    """
    formats = network.formats()
    records = records or Records()
    return tuple(import_layer(layer, formats, target, records) for layer in network.layers)


def import_layer(
    layer: Layer, formats: Mapping[str, Format], target: Target, records: Records
) -> CompiledLayer:
    """Find the operator for one layer, with ``formats`` of what it reads and writes."""
    source, output = formats[layer.input], formats[layer.name]
    operator = layer_operator(layer, source, target)
    if operator is None:
        raise UnsupportedOperatorError(
            f"layer '{layer.name}' is a {describe(layer, source)}, for which there is no operator "
            f"yet; there are: {_SUPPORTED}"
        )
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
    return CompiledLayer(operator, (layer.input,), report)


def describe(layer: Layer, source: Format) -> str:
    """A layer in words, as far as it matters to what operator computes it."""
    reads = "the picture"
    if isinstance(source, Codes):
        reads = f"{source.bits}-bit {'signed' if source.signed else 'unsigned'} codes"
    elif not isinstance(source, Image):
        reads = {"Stream": "the int16 stream"}.get(type(source).__name__, "int32 counts")
    if not isinstance(layer, Convolution):
        return f"{_kind(layer)} of {reads}"
    words = [f"{_kind(layer)} of {reads} with {layer.weight_bits}-bit weights"]
    if layer.dilation != 1:
        words.append(f"dilation {layer.dilation}")
    if layer.padding:
        words.append(f"padding of {layer.padding_level}")
    stage = layer.output
    if isinstance(stage, Quantize):
        words.append(f"{stage.bits}-bit output")
    else:
        words.append("int16 output" if isinstance(stage, Requantize) else "int32 output")
    return ", ".join(words)


def _kind(layer: Layer) -> str:
    """The layer's kind as the table has it."""
    if isinstance(layer, Convolution):
        kernel = f"{layer.kernel}x{layer.kernel}"
        if layer.pointwise and layer.weight_bits <= 4:
            return f"pointwise {kernel}"
        if layer.depthwise and layer.weight_bits <= 4:
            return f"depthwise {kernel}, stride {layer.stride}"
        groups = f", {layer.groups} groups" if layer.groups > 1 else ""
        return f"conv {kernel}, stride {layer.stride}{groups}"
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
    if isinstance(source, Image):
        return "the first layer reads the 8-bit image"
    if isinstance(layer, GlobalSum):
        return "it has no weights, and the 8-bit classifier reads its int32 counts"
    if isinstance(layer, AveragePoolStream | QuantizeStream):
        return "it has no weights, and reads the int16 stream"
    if isinstance(layer, QuantizedDense):
        return "the classifier has 8-bit weights and writes float32 logits"
    return ""
