"""A dense convolution that multiplies in bfloat16, between float32 values."""

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.autograd.function import once_differentiable


def narrow_convolution(
    inputs: Tensor, weight: Tensor, stride: int, padding: int, outside: float = 0.0
) -> Tensor:
    """functional.conv2d of float32 values rounded to bfloat16, forward and backward.

    The ``padding`` around the inputs has the value ``outside``.
    Sums are float32, and rounded to bfloat16 at the end. Levels of few bits lose nothing by the
    rounding where they are whole numbers; others, weights and sums are within 0.4 %.
    """
    result: Tensor = _NarrowConvolution.apply(inputs, weight, stride, padding, outside)
    return result


class _NarrowConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, inputs: Tensor, weight: Tensor, stride: int, padding: int, outside: float
    ) -> Tensor:
        inputs, weight = inputs.bfloat16(), weight.bfloat16()
        context.border = padding if outside else 0  # what becomes part of the inputs
        if context.border:
            inputs, padding = functional.pad(inputs, (padding,) * 4, value=outside), 0
        context.save_for_backward(inputs, weight)
        context.stride, context.padding = stride, padding
        return functional.conv2d(inputs, weight, stride=stride, padding=padding).float()

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = context.saved_tensors
        needed = context.needs_input_grad[:2]
        gradients = torch.ops.aten.convolution_backward(
            gradient.bfloat16(),
            inputs,
            weight,
            bias_sizes=None,
            stride=[context.stride] * 2,
            padding=[context.padding] * 2,
            dilation=[1, 1],
            transposed=False,
            output_padding=[0, 0],
            groups=1,
            output_mask=[*needed, False],
        )
        of_inputs, of_weight = gradients[:2]
        if needed[0]:
            border, (height, width) = context.border, of_inputs.shape[2:]
            of_inputs = of_inputs[:, :, border : height - border, border : width - border].float()
        return of_inputs, of_weight.float() if needed[1] else None, None, None, None
