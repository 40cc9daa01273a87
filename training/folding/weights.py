"""Weights as integers, and what one of them stands for."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.network import IMAGE_WEIGHT_BITS, MAX_BITS
from bitat_deploy.training.folding.source import CodeSource, float64
from bitat_deploy.training.networks import CodeLayer, EightBitLayer, QuantizedStem
from bitat_deploy.training.quantizers import int8_scale


@dataclass(frozen=True, eq=False)
class FoldedWeight:
    """``values`` int8 [out, k, k, in / groups] and ``unit`` [out], the real sum's per integer sum.

    The integer sum of a channel lies between ``lowest`` and ``highest``, int64 [out].
    """

    values: NDArray[np.int8]
    unit: NDArray[np.float64]
    lowest: NDArray[np.int64]
    highest: NDArray[np.int64]

    def negated(self, channels: NDArray[np.bool_]) -> NDArray[np.int8]:
        """The values, with the sign of ``channels`` changed."""
        return np.where(channels[:, None, None, None], -self.values, self.values)


def stem_weight(stem: QuantizedStem) -> FoldedWeight:
    """8-bit weights on pixels from 0 to 255, of which training sees pixel / 255."""
    scale = int8_scale(stem.weight, per_channel=True)
    weight = torch.round(stem.weight.detach() / scale).to(torch.int64).cpu().numpy()
    return weight_of_levels(weight, float64(scale).reshape(-1) / 255, bottom=0, top=255)


def code_weight(layer: CodeLayer, source: CodeSource) -> FoldedWeight:
    """Levels on codes or bytes.

    Layers count with the quantized weights, whatever their mode is. Raises
    UnsupportedOperatorError for bits that the device does not have.
    """
    if isinstance(layer, EightBitLayer):
        scale = int8_scale(layer.weight, per_channel=True)
        weight = torch.round(layer.weight.detach() / scale).to(torch.int64).cpu().numpy()
        unit = float64(scale).reshape(-1) * source.unit
        return weight_of_levels(weight, unit, source.bottom, source.top)
    check_bits(layer.name, layer.weight_bits, "weights")
    levels, unit = layer.quantizer.levels(layer.weight)
    # A filter of nothing but zeros has the sign +1 and no size: any positive one leaves it so.
    unit = np.maximum(unit, 1e-12) * source.unit
    return weight_of_levels(levels, unit, source.bottom, source.top)


def check_bits(name: str, bits: int, what: str) -> None:
    """Raise UnsupportedOperatorError where the device has no operator for so many bits."""
    if bits > MAX_BITS and bits != IMAGE_WEIGHT_BITS:
        raise UnsupportedOperatorError(
            f"layer '{name}' has {what} of {bits} bits; the device's operators have 1 to "
            f"{MAX_BITS} or {IMAGE_WEIGHT_BITS}, so this network can be trained but not exported"
        )


def weight_of_levels(
    weight: NDArray[np.int64], unit: NDArray[np.float64], bottom: int, top: int
) -> FoldedWeight:
    """Integer weights [out, in / groups, k, k] on inputs from ``bottom`` to ``top``."""
    taps = weight.reshape(len(weight), -1)
    lowest = np.minimum(taps * top, taps * bottom).sum(axis=1)
    highest = np.maximum(taps * top, taps * bottom).sum(axis=1)
    values = np.ascontiguousarray(weight.transpose(0, 2, 3, 1).astype(np.int8))
    return FoldedWeight(values, unit, lowest, highest)
