"""Which operator computes a convolution."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network import Codes, Convolution, Format, Image, Quantize, Requantize
from bitat_deploy.operators import (
    BinaryDepthwiseConv,
    BinaryPointwiseConv,
    BitSerialConv,
    BitSerialDepthwiseConv,
    Operator,
    QuantizedConv,
)
from bitat_deploy.target import Target


def convolution_operator(
    layer: Convolution, formats: Mapping[str, Format], target: Target
) -> Operator:
    """The operator for ``layer``; ``formats`` are those of what it reads, by name.

    The most special one: 1-bit 1x1 and depthwise convolutions with 1-bit output have their own.
    """
    source: Any = formats[layer.input]
    if isinstance(source, Codes):
        special = _binary_operator(layer, source, target)
        if special is not None:
            return special
        if layer.depthwise:
            return BitSerialDepthwiseConv(source, layer, shortcut_channels(layer, formats), target)
    general = QuantizedConv if isinstance(source, Image) else BitSerialConv
    return general(source, layer, shortcut_channels(layer, formats), target)


def shortcut_channels(layer: Convolution, formats: Mapping[str, Format]) -> int:
    """Channels of the stream that the layer's output stage adds; 0 where it adds none."""
    stage = layer.output
    if not isinstance(stage, Requantize) or stage.shortcut is None:
        return 0
    return formats[stage.shortcut].shape[-1]


def _binary_operator(layer: Convolution, source: Codes, target: Target) -> Operator | None:
    """Our operators of signs to signs, where they compute the layer."""
    stage = layer.output
    if not isinstance(stage, Quantize) or (source.bits, layer.weight_bits, stage.bits) != (1, 1, 1):
        return None
    height, width, _ = source.shape
    threshold = _threshold_of_signs(layer, stage.thresholds[0], source)
    bits = (layer.weight > 0).astype(np.uint8)
    if layer.pointwise:
        return BinaryPointwiseConv(
            height=height, width=width, weight=bits[:, 0, 0], threshold=threshold, target=target
        )
    padded_with_ones = layer.padding == 0 or layer.padding_level == source.top
    if layer.depthwise and padded_with_ones and layer.dilation == 1:
        return BinaryDepthwiseConv(
            height=height,
            width=width,
            weight=np.ascontiguousarray(bits[..., 0].transpose(1, 2, 0)),
            threshold=threshold,
            stride=layer.stride,
            padding=layer.padding,
            target=target,
        )
    return None


def _threshold_of_signs(
    layer: Convolution, threshold: NDArray[np.int32], source: Codes
) -> NDArray[np.int32]:
    """The threshold for the sum over +1 and -1, which is what our operators compare.

    With codes u = (x + 1) / 2 the sum over u is (sum over x + sum of weights) / 2, hence
    ``sum over u >= t`` is ``sum over x >= 2 t - sum of weights``.
    """
    if source.signed:
        return threshold
    weight = layer.weight.astype(np.int64).reshape(layer.out_channels, -1)
    reach = weight.shape[1] + 1
    within = np.clip(threshold.astype(np.int64), -reach, reach)
    return (2 * within - weight.sum(axis=1)).astype(np.int32)
