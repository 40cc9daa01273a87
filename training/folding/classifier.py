"""The classifier on integer sums instead of means."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from bitat_deploy.network import GlobalSum, QuantizedDense, rounding
from bitat_deploy.training.folding.source import CodeSource, Source, float64
from bitat_deploy.training.networks import Classifier
from bitat_deploy.training.quantizers import int8_scale

_INT32 = 2**31 - 1
_INT16 = 2**15


def fold_classifier(
    classifier: Classifier, source: Source, positions: int, scale: float
) -> tuple[GlobalSum, QuantizedDense]:
    """Pooling over ``positions`` pixels and dense layer; ``scale`` is the streams'.

    A mean of values is a multiple of the sum of codes (of a stream) plus a constant, which the
    dense layer's bias and scale absorb.
    """
    step = int8_scale(classifier.weight, per_channel=False)
    weight = torch.round(classifier.weight.detach() / step).to(torch.int64).cpu().numpy()
    shift, constant = 0, 0.0
    if isinstance(source, CodeSource) and source.is_bytes:
        shift = _shift(weight, positions * source.top)
        factor = 2**shift * source.unit / positions
    elif isinstance(source, CodeSource):
        # Signed codes u stand for 2 u - top.
        factor = (2 if source.signed else 1) * source.unit / positions
        constant = -source.top * source.unit if source.signed else 0.0
    else:
        shift = _shift(weight, positions * _INT16)
        factor = 2**shift / (scale * positions)
        constant = 0.5 / scale  # a stream's s stands for s + 1/2
    output_scale = float(step) * factor
    bias = float64(classifier.bias) + float(step) * constant * weight.sum(axis=1)
    return GlobalSum("pool", source.name, shift), QuantizedDense(
        "classifier",
        "pool",
        weight.astype(np.int8),
        np.rint(bias / output_scale).astype(np.int32),
        np.float32(output_scale),
    )


def _shift(weight: NDArray[np.int64], reach: int) -> int:
    """The least shift of sums of at most ``reach`` with which no sum of the dense layer overflows.

    A quarter of int32 is left for the bias.
    """
    largest = max(int(np.abs(weight).sum(axis=1).max()), 1)
    limit = 3 * (_INT32 // 4) // largest
    shift = max(math.ceil(math.log2(reach / max(limit, 1))), 0)
    while (reach + rounding(shift)) >> shift > limit:
        shift += 1
    return shift
