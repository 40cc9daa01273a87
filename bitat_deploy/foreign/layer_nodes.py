"""Our layers as nodes of an ONNX graph."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.foreign.functions import QUANTIZE_FLOAT
from bitat_deploy.foreign.graph import TensorType
from bitat_deploy.foreign.graph_builder import FLOAT, INT32, UINT8, GraphBuilder
from bitat_deploy.network import (
    Codes,
    Convolution,
    Format,
    Image,
    MaxPool,
    Quantize,
    QuantizeFloat,
    packed_bytes,
)
from bitat_deploy.onnx_format import DOMAIN, convolution_function


def add_convolution(
    builder: GraphBuilder, layer: Convolution, source: Image | Codes, output: Format
) -> str:
    """A convolution that reads ``source`` without its output stage; the tensor of its sums."""
    sums = f"{layer.name}.sums"
    function, attributes, weight = convolution_function(layer, source)
    builder.add(
        function,
        [layer.input],
        sums,
        TensorType((1, *output.shape), INT32),
        constants={f"{layer.name}.levels": weight},
        name=layer.name,
        domain=DOMAIN,
        **attributes,
    )
    return sums


def add_quantize(
    builder: GraphBuilder, layer: str, stage: Quantize, sums: str, output: str, codes: Codes
) -> None:
    """The output stage of ``layer``, from its sums to ``output``."""
    name = f"{layer}.quantize"
    builder.add(
        "Quantize",
        [sums],
        output,
        _packed(codes),
        constants={f"{name}.thresholds": stage.thresholds},
        name=name,
        domain=DOMAIN,
        bits=stage.bits,
        signed=int(stage.signed),
    )


def add_quantizer(builder: GraphBuilder, layer: QuantizeFloat) -> QuantizeFloat:
    """A quantizer of a float tensor; it reads [1, C, H, W], so of [1, C] it is given a view.

    Returns the layer as it stands in the graph.
    """
    if len(builder.original.types[layer.input].shape) == 2:
        source = f"{layer.name}.input"
        axes = {f"{source}.axes": np.array([2, 3], np.int64)}
        kind = TensorType((1, *layer.input_shape), FLOAT)
        builder.add("Unsqueeze", [layer.input], source, kind, constants=axes)
        layer = replace(layer, input=source)
    constants: dict[str, NDArray[Any]] = {
        f"{layer.name}.channel": layer.channel,
        f"{layer.name}.sign": layer.sign,
        f"{layer.name}.thresholds": layer.thresholds,
    }
    builder.add(
        QUANTIZE_FLOAT,
        [layer.input],
        layer.name,
        _packed(layer.codes),
        constants=constants,
        domain=DOMAIN,
        bits=layer.bits,
    )
    return layer


def add_pool(builder: GraphBuilder, layer: MaxPool, source: Codes, output: Codes) -> None:
    """A max pool of codes."""
    builder.add(
        "MaxPoolCodes",
        [layer.input],
        layer.name,
        _packed(output),
        domain=DOMAIN,
        channels=source.shape[2],
        bits=source.bits,
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[layer.padding] * 4,
    )


def _packed(codes: Codes) -> TensorType:
    height, width, channels = codes.shape
    return TensorType((1, height, width, codes.bits * packed_bytes(channels)), UINT8)
