"""UniQ's two quantizers with their gradients.

Both return levels as floats of the values' type, computed in the step's (float32 under autocast:
v / step needs more than the 8 bits that bfloat16 has). Shapes: values any; ``step`` [] or one
that broadcasts to the values, such as [out, 1, 1, 1].
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bitat_deploy.training.native import (
    Levels,
    fits_kernels,
    level_gradients,
    normalize_and_quantize,
    quantize_levels,
)
from bitat_deploy.training.uniq.levels import codes_of, symmetric_levels, unsigned_levels


class _Quantize(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, step: Tensor, levels: Levels, scale: float) -> Tensor:
        distance = positive_step(step)
        if fits_kernels(values, distance):
            result = quantize_levels(values, distance, levels)
        else:
            codes = codes_of(values, distance, levels)
            result = codes.sub_(levels.centre).mul_(distance).to(values.dtype)
        context.save_for_backward(values, step, result)
        context.levels, context.scale = levels, scale
        return result

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Both slopes of the step, inside and outside, are (Q - v [inside]) / step [D]."""
        values, step, result = context.saved_tensors
        levels, distance = context.levels, positive_step(step)
        factor = _signed(context.scale, step) / distance
        if fits_kernels(values, distance) and gradient.dtype == values.dtype:
            of_values, sums = level_gradients(gradient, values, result, distance, levels)
            return of_values, sums * factor, None, None
        low, high = -levels.centre * distance, (levels.top - levels.centre) * distance
        of_values = gradient * ((values > low) & (values < high))
        if not context.needs_input_grad[1]:
            return of_values, None, None, None
        exact = step.dtype
        weighted = gradient.to(exact) * result.to(exact)
        weighted.addcmul_(of_values.to(exact), values.to(exact), value=-1)
        return of_values, weighted.sum_to_size(step.shape) * factor, None, None


def _signed(scale: float, step: Tensor) -> Tensor:
    """``scale`` with the sign of each step, as that of :func:`positive_step`'s slope."""
    return torch.where(step.detach() < 0, -scale, scale)


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
    result: Tensor = _Quantize.apply(values, step, symmetric_levels(bits), gradient_scale)
    return result


def quantize_unsigned(values: Tensor, step: Tensor, bits: int, gradient_scale: float) -> Tensor:
    """Q_a: values to the 2^b levels 0, step, ..., M step [P].

    Q_a(v) = step r(clip(v / step, 0, M)). Gradients [D]: dQ/dv = 1 on (0, M step), else 0;
    dQ/dstep = r(v / step) - v / step there, 0 below, M above, times ``gradient_scale``. Steps as
    in :func:`quantize_symmetric`.
    """
    result: Tensor = _Quantize.apply(values, step, unsigned_levels(bits), gradient_scale)
    return result


def quantize_normalized(
    sums: Tensor,
    normalization: nn.BatchNorm2d,
    step: Tensor,
    levels: Levels,
    gradient_scale: float,
) -> Tensor:
    """The levels of normalization(sums), [N, C, H, W], as one operation; ``step`` is []."""
    # The value is positive_step's; the gradient that of the quantizers above.
    slope = _signed(gradient_scale, step) * step
    return normalize_and_quantize(
        sums, normalization, positive_step(step) + (slope - slope.detach()), levels
    )
