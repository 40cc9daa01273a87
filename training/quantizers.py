"""Quantization with straight-through gradients: sign for bits, rounding for 8-bit weights.

sign(0) = +1 everywhere, as on the device.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def binary_sign(values: Tensor) -> Tensor:
    """Sign without gradient, +1 at 0: values of any shape to {-1, +1} of the same type."""
    return (values >= 0).to(values.dtype).mul_(2).sub_(1)


class _SignOfWeight(torch.autograd.Function):
    """Forward sign; backward the identity inside [-1, 1] (Courbariaux et al., 2016, eq. 4)."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.save_for_backward(values)
        return binary_sign(values)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (values,) = context.saved_tensors
        return gradient * (values.abs() <= 1)


def binarized_weight(weight: Tensor) -> Tensor:
    """alpha * sign(weight) with alpha = mean |weight| of each output channel (XNOR-Net, eq. 6).

    ``weight`` [out, ...]. The gradient reaches ``weight`` straight through the sign; alpha is
    held constant, since the batch normalisation that follows cancels it.
    """
    alpha = weight.detach().abs().mean(dim=tuple(range(1, weight.dim())), keepdim=True)
    signs: Tensor = _SignOfWeight.apply(weight)
    return alpha * signs


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
