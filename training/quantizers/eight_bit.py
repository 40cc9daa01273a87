"""Rounding of the stem's and the classifier's weights to 8 bits."""

import torch
from torch import Tensor


def int8_scale(weight: Tensor, per_channel: bool) -> Tensor:
    """The step of a symmetric int8 grid (-127..127): [out, 1, ...] or a scalar tensor."""
    magnitude = weight.detach().abs()
    if per_channel:
        largest = magnitude.amax(dim=tuple(range(1, weight.dim())), keepdim=True)
    else:
        largest = magnitude.max()
    return largest.clamp(min=1e-8) / 127


def int8_weight(weight: Tensor, per_channel: bool) -> Tensor:
    """Round ``weight`` to its int8 grid, staying in float; the gradient passes unchanged."""
    scale = int8_scale(weight, per_channel)
    rounded = torch.round(weight.detach() / scale) * scale
    return weight + (rounded - weight.detach())
