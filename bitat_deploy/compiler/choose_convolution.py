"""Which operator computes a convolution."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network import Codes, Convolution, Image, Quantize
from bitat_deploy.operators import BinaryDepthwiseConv, BinaryPointwiseConv, Operator, QuantizedConv
from bitat_deploy.target import Target


def convolution_operator(layer: Convolution, source: Any, target: Target) -> Operator | None:
    """The operator for ``layer``, which reads ``source``; None where there is none."""
    stage = layer.output
    if not isinstance(stage, Quantize) or stage.bits != 1 or layer.dilation != 1:
        return None
    height, width, _ = source.shape
    if isinstance(source, Image):
        if layer.groups != 1:
            return None
        return QuantizedConv(
            height=height,
            width=width,
            weight=layer.weight,
            threshold=stage.thresholds[0],
            stride=layer.stride,
            padding=layer.padding,
            target=target,
        )
    assert isinstance(source, Codes)
    if source.bits != 1 or layer.weight_bits != 1:
        return None
    threshold = _threshold_of_signs(layer, stage.thresholds[0], source)
    bits = (layer.weight > 0).astype(np.uint8)
    if layer.pointwise:
        return BinaryPointwiseConv(
            height=height, width=width, weight=bits[:, 0, 0], threshold=threshold, target=target
        )
    if layer.depthwise and (layer.padding == 0 or layer.padding_level == source.top):
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
