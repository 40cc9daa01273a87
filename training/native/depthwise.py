"""Depthwise 3x3 convolution that pads with a constant, as one native operation."""

import ctypes
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.autograd.function import once_differentiable

from bitat_deploy.training.native.library import check, kernels_for, pointer


def depthwise_convolution(
    values: Tensor, weight: Tensor, stride: int, outside: float = 1.0
) -> Tensor:
    """Convolve [N, C, H, W], padded by one with ``outside``, with ``weight`` [C, 1, 3, 3]."""
    library = kernels_for(values)
    if library is None:
        padded = functional.pad(values, (1, 1, 1, 1), value=outside)
        return functional.conv2d(padded, weight, stride=stride, groups=values.shape[1])
    result: Tensor = _DepthwiseConvolution.apply(values, weight, stride, outside, library)
    return result


class _DepthwiseConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        values: Tensor,
        weight: Tensor,
        stride: int,
        outside: float,
        library: ctypes.CDLL,
    ) -> Tensor:
        values = values.contiguous(memory_format=torch.channels_last)
        taps = weight.reshape(weight.shape[0], 9).t().contiguous()
        context.save_for_backward(values, taps)
        context.stride, context.outside, context.library = stride, outside, library
        batch, channels, height, width = values.shape
        result = torch.empty(
            (batch, channels, (height - 1) // stride + 1, (width - 1) // stride + 1),
            memory_format=torch.channels_last,
        )
        sizes = (batch, height, width, channels, stride)
        arrays = (pointer(values), pointer(taps))
        check(library.depthwise_forward(*arrays, *sizes, outside, pointer(result)))
        return result

    @staticmethod
    @once_differentiable
    def backward(
        context: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        values, taps = context.saved_tensors
        library = context.library
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        batch, channels, height, width = values.shape
        sizes = (batch, height, width, channels, context.stride)
        grad_values = grad_weight = None
        if context.needs_input_grad[0]:
            grad_values = torch.empty_like(values)
            arrays = (pointer(gradient), pointer(taps))
            check(library.depthwise_backward_input(*arrays, *sizes, pointer(grad_values)))
        if context.needs_input_grad[1]:
            grad_taps = torch.empty_like(taps)
            arrays = (pointer(gradient), pointer(values))
            outside = context.outside
            check(library.depthwise_backward_weight(*arrays, *sizes, outside, pointer(grad_taps)))
            grad_weight = grad_taps.t().reshape(channels, 1, 3, 3)
        return grad_values, grad_weight, None, None, None
