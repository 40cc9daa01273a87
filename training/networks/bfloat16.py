"""A dense convolution that multiplies in bfloat16, between float32 values."""

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.autograd.function import once_differentiable


def narrow_convolution(inputs: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """functional.conv2d of float32 values rounded to bfloat16, forward and backward.

    Sums are float32, and rounded to bfloat16 at the end. Levels of few bits lose nothing by the
    rounding where they are whole numbers; others, weights and sums are within 0.4 %.
    """
    result: Tensor = _NarrowConvolution.apply(inputs, weight, stride, padding)
    return result


class _NarrowConvolution(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, inputs: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        inputs, weight = inputs.bfloat16(), weight.bfloat16()
        context.save_for_backward(inputs, weight)
        context.stride, context.padding = stride, padding
        return functional.conv2d(inputs, weight, stride=stride, padding=padding).float()

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
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
        of_inputs, of_weight = (
            value.float() if wanted else None
            for value, wanted in zip(gradients[:2], needed, strict=True)
        )
        return of_inputs, of_weight, None, None
