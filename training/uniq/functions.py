"""UniQ's two quantizers with their gradients.

Both return levels as floats of the values' type, computed in the step's (float32 under autocast:
v / step needs more than the 8 bits that bfloat16 has). Shapes: values any; ``step`` [] or one
that broadcasts to the values, such as [out, 1, 1, 1].
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bitat_deploy.training.native import fits_kernels, level_gradients, quantize_levels
from bitat_deploy.training.uniq.levels import (
    maximum_code,
    symmetric_codes,
    symmetric_rounding,
    unsigned_codes,
)


class _Symmetric(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, step: Tensor, bits: int, scale: float) -> Tensor:
        distance, (before, after, top) = positive_step(step), symmetric_rounding(bits)
        if fits_kernels(values, distance):
            result = quantize_levels(values, distance, before, after, top, top / 2)
        else:
            codes = symmetric_codes(values, distance, bits)
            result = codes.sub_(top / 2).mul_(distance).to(values.dtype)
        context.save_for_backward(values, step, result)
        context.scale, context.reach = scale, (-top / 2, top / 2)
        return result

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        return *_gradients(context, gradient), None, None


class _Unsigned(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, step: Tensor, bits: int, scale: float) -> Tensor:
        distance, top = positive_step(step), maximum_code(bits)
        if fits_kernels(values, distance):
            result = quantize_levels(values, distance, 0.5, 0, top, 0)
        else:
            result = unsigned_codes(values, distance, bits).mul_(distance).to(values.dtype)
        context.save_for_backward(values, step, result)
        context.scale, context.reach = scale, (0, top)
        return result

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        return *_gradients(context, gradient), None, None


def _gradients(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Both slopes of the step, inside and outside, are (Q - v [inside]) / step [D]."""
    values, step, result = context.saved_tensors
    distance = positive_step(step)
    low, high = context.reach
    factor = torch.where(step < 0, -context.scale, context.scale) / distance
    if fits_kernels(values, distance) and gradient.dtype == values.dtype:
        of_values, sums = level_gradients(gradient, values, result, distance, low, high)
        return of_values, sums * factor
    of_values = gradient * ((values > low * distance) & (values < high * distance))
    if not context.needs_input_grad[1]:
        return of_values, None
    exact = step.dtype
    weighted = gradient.to(exact) * result.to(exact)
    weighted.addcmul_(of_values.to(exact), values.to(exact), value=-1)
    return of_values, weighted.sum_to_size(step.shape) * factor


def positive_step(step: Tensor) -> Tensor:
    """|step|, at least 1e-8 [R].

    The paper has step > 0 but an optimizer may cross 0. Clamped, such a layer's output would be 0
    and its weights, all outside, would no longer have a gradient; mirrored, it goes on learning.
    """
    return step.detach().abs().clamp(min=1e-8)


def quantize_symmetric(values: Tensor, step: Tensor, bits: int, gradient_scale: float) -> Tensor:
    """Q_w: values to 2^b symmetric levels, +-step/2 for one bit [P].

    Q_w(v) = step r(clip((v + a) / step, 0, M)) - a with a = step M/2. Gradients [D]:
    dQ/dv = 1 where |v| < a, else 0; dQ/dstep = (Q - v) / step there, else sign(v) M/2, times
    ``gradient_scale``. A negative step counts as its mirror image: see :func:`positive_step`.
    """
    result: Tensor = _Symmetric.apply(values, step, bits, gradient_scale)
    return result


def quantize_unsigned(values: Tensor, step: Tensor, bits: int, gradient_scale: float) -> Tensor:
    """Q_a: values to the 2^b levels 0, step, ..., M step [P].

    Q_a(v) = step r(clip(v / step, 0, M)). Gradients [D]: dQ/dv = 1 on (0, M step), else 0;
    dQ/dstep = r(v / step) - v / step there, 0 below, M above, times ``gradient_scale``. Steps as
    in :func:`quantize_symmetric`.
    """
    result: Tensor = _Unsigned.apply(values, step, bits, gradient_scale)
    return result
