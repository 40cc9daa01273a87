"""The row of one of our layers in the table that a build prints."""

import numpy as np

from bitat_deploy.compiler.layer_report import LayerReport
from bitat_deploy.network import (
    IMAGE,
    AddBytes,
    AverageBytes,
    AveragePoolStream,
    ByteLayer,
    Bytes,
    Codes,
    Convolution,
    Format,
    GlobalSum,
    Image,
    Layer,
    MapBytes,
    Quantize,
    QuantizedDense,
    QuantizeStream,
    Requantize,
    Rescale,
    shape_text,
)


def describe_layer(
    layer: Layer | ByteLayer, source: Format, output: Format, tuned: str = ""
) -> LayerReport:
    """The report of a layer that reads ``source`` and writes ``output``.

    ``tuned`` names the record that its operator's schedule comes from.
    """
    return LayerReport(
        name=layer.name,
        kind=_kind(layer, source),
        input_shape=source.shape,
        output_shape=output.shape,
        weight_bits=_weight_bits(layer),
        activation_bits=_activation_bits(source),
        macs=_macs(layer, output),
        binarized=_activation_bits(source) == 1 and _weight_bits(layer) <= 1,
        fused=_fused(layer),
        packed_output=isinstance(output, Codes),
        reason=_reason(layer, source),
        tuned=tuned,
    )


def _kind(layer: Layer | ByteLayer, source: Format) -> str:
    """The layer's kind as the table has it."""
    if isinstance(layer, Convolution):
        kernel = shape_text(layer.kernels)
        stride = f", stride {layer.stride}" if layer.stride > 1 else ""
        first = isinstance(source, Image) and layer.input == IMAGE
        if layer.pointwise and not first:
            return f"pointwise {kernel}"
        if layer.depthwise and not first:
            return f"depthwise {kernel}{stride}"
        groups = f", {layer.groups} groups" if layer.groups > 1 else ""
        return f"conv {kernel}{stride}{groups}"
    return {
        "QuantizeStream": "quantization",
        "AveragePoolStream": "average pool 2x2",
        "MaxPool": "max pool",
        "GlobalSum": "global sum",
        "QuantizedDense": "dense",
        "AddBytes": "addition",
        "AverageBytes": "global average",
        "MapBytes": "table of bytes",
    }[type(layer).__name__]


def _weight_bits(layer: Layer | ByteLayer) -> int:
    if isinstance(layer, Convolution):
        return layer.weight_bits
    return 8 if isinstance(layer, QuantizedDense) else 0


def _activation_bits(source: Format) -> int:
    if isinstance(source, Codes | Bytes):
        return source.bits
    return {"Image": 8, "Stream": 16}.get(type(source).__name__, 32)


def _macs(layer: Layer | ByteLayer, output: Format) -> int:
    if isinstance(layer, Convolution):
        return int(np.prod(output.shape) * np.prod(layer.weight.shape[1:]))
    return int(layer.weight.size) if isinstance(layer, QuantizedDense) else 0


def _fused(layer: Layer | ByteLayer) -> bool:
    """Whether what follows the layer's sums happens inside its operator."""
    if isinstance(layer, Convolution):
        return isinstance(layer.output, Quantize | Requantize | Rescale)
    return isinstance(layer, QuantizedDense)


def _reason(layer: Layer | ByteLayer, source: Format) -> str:
    """Why a layer is not binarized, fused and packed."""
    if isinstance(layer, Convolution):
        return " and ".join(_reasons_of_convolution(layer, source))
    if isinstance(layer, GlobalSum):
        return "it has no weights, and the 8-bit classifier reads its int32 counts"
    if isinstance(layer, AveragePoolStream | QuantizeStream):
        return "it has no weights, and reads the int16 stream"
    if isinstance(layer, AddBytes | AverageBytes | MapBytes):
        return "it has no weights, and reads and writes bytes"
    if isinstance(layer, QuantizedDense):
        return "the classifier has 8-bit weights and writes float32 logits"
    return "it has no weights, and no sums that are normalised"


def _reasons_of_convolution(layer: Convolution, source: Format) -> list[str]:
    reasons = []
    if isinstance(source, Image):
        reasons.append("the first layer reads the 8-bit image")
    elif isinstance(source, Codes | Bytes) and max(source.bits, layer.weight_bits) > 1:
        bits = f"{layer.weight_bits}-bit weights and {source.bits}-bit activations"
        reasons.append(f"its network has {bits}")
    if isinstance(layer.output, Requantize) and layer.output.dtype != "int16":
        reasons.append("it writes 8-bit activations, which take a byte each")
    elif isinstance(layer.output, Requantize):
        reasons.append("it writes the int16 stream, which carries shortcuts")
    elif not isinstance(layer.output, Quantize):
        reasons.append("its int32 sums are read as they are")
    return reasons
