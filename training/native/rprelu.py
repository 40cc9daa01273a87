"""RPReLU as one native operation."""

import ctypes
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.autograd.function import once_differentiable

from bitat_deploy.training.native.library import check, kernels_for, pointer


def rprelu(values: Tensor, before: Tensor, slope: Tensor, after: Tensor) -> Tensor:
    """prelu(values + before, slope) + after for [N, C, H, W]; shifts [1, C, 1, 1], slope [C]."""
    library = kernels_for(values)
    if library is None:
        return functional.prelu(values + before, slope) + after
    result: Tensor = _RPReLU.apply(values, before, slope, after, library)
    return result


class _RPReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        values: Tensor,
        before: Tensor,
        slope: Tensor,
        after: Tensor,
        library: ctypes.CDLL,
    ) -> Tensor:
        values = values.contiguous(memory_format=torch.channels_last)
        context.save_for_backward(values, before, slope)
        context.library = library
        channels = values.shape[1]
        result = torch.empty_like(values)
        library.rprelu(
            pointer(values),
            values.numel() // channels,
            channels,
            *(pointer(array) for array in (before, slope, after, result)),
        )
        return result

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        values, before, slope = context.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        channels = values.shape[1]
        grad_values = torch.empty_like(values)
        grad_before, grad_after = torch.empty_like(before), torch.empty_like(before)
        grad_slope = torch.empty_like(slope)
        arrays = (before, slope, grad_values, grad_before, grad_slope, grad_after)
        check(
            context.library.rprelu_backward(
                pointer(gradient),
                pointer(values),
                values.numel() // channels,
                channels,
                *(pointer(array) for array in arrays),
            )
        )
        return grad_values, grad_before, grad_slope, grad_after, None
