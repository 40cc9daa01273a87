"""Which operator computes a layer."""

from collections.abc import Mapping
from typing import Any

from bitat_deploy.compiler.choose_convolution import convolution_operator
from bitat_deploy.network import (
    AveragePoolStream,
    Convolution,
    Format,
    GlobalSum,
    Layer,
    MaxPool,
    QuantizedDense,
    QuantizeStream,
    Stream,
)
from bitat_deploy.operators import AveragePoolStream as AveragePoolStreamOperator
from bitat_deploy.operators import (
    GlobalBitCount,
    GlobalCodeSum,
    GlobalStreamSum,
    MaxPoolCodes,
    Operator,
    ThresholdPack,
)
from bitat_deploy.operators import QuantizedDense as QuantizedDenseOperator
from bitat_deploy.target import Target


def layer_operator(layer: Layer, formats: Mapping[str, Format], target: Target) -> Operator:
    """The operator that computes a layer; ``formats`` are those of what it reads, by name."""
    if isinstance(layer, Convolution):
        return convolution_operator(layer, formats, target)
    source: Any = formats[layer.input]
    if isinstance(layer, QuantizedDense):
        return QuantizedDenseOperator(
            weight=layer.weight,
            bias=layer.bias,
            scale=layer.scale,
            limit=source.limit,
            target=target,
        )
    height, width, channels = source.shape
    if isinstance(layer, GlobalSum) and isinstance(source, Stream):
        return GlobalStreamSum(height, width, channels, layer.shift, target)
    if isinstance(layer, GlobalSum) and source.bits == 1:
        return GlobalBitCount(height=height, width=width, channels=channels, target=target)
    if isinstance(layer, GlobalSum):
        return GlobalCodeSum(height, width, channels, source.bits, target)
    if isinstance(layer, MaxPool):
        window = (layer.kernel, layer.stride, layer.padding)
        return MaxPoolCodes(height, width, channels, source.bits, *window, target)
    if isinstance(layer, AveragePoolStream):
        return AveragePoolStreamOperator(height, width, channels, target)
    assert isinstance(layer, QuantizeStream)
    return ThresholdPack(height, width, "int16", layer.output.thresholds, target)
