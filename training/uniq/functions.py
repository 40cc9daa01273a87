"""UniQ's two quantizers with their gradients.

Both return levels as floats of the values' type, computed in the step's (float32 under autocast:
v / step needs more than the 8 bits that bfloat16 has). Shapes: values any; ``step`` [] or one
that broadcasts to the values, such as [out, 1, 1, 1].
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bitat_deploy.training.uniq.levels import maximum_code, symmetric_codes, unsigned_codes


class _Symmetric(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, step: Tensor, bits: int, scale: float) -> Tensor:
        positive = positive_step(step)
        context.save_for_backward(values, step)
        context.bits, context.scale = bits, scale
        codes = symmetric_codes(values, positive, bits)
        return codes.sub_(maximum_code(bits) / 2).mul_(positive).to(values.dtype)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        values, learned = context.saved_tensors
        step = positive_step(learned)
        half = maximum_code(context.bits) / 2
        ratio = values.to(step.dtype) / step
        inside = ratio.abs() < half
        # Outside, codes - M/2 alone is sign(v) M/2.
        slope = symmetric_codes(values, step, context.bits).sub_(half).sub_(ratio * inside)
        return *_gradients(context, gradient, inside, slope, learned), None, None


class _Unsigned(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, step: Tensor, bits: int, scale: float) -> Tensor:
        positive = positive_step(step)
        context.save_for_backward(values, step)
        context.bits, context.scale = bits, scale
        return unsigned_codes(values, positive, bits).mul_(positive).to(values.dtype)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        values, learned = context.saved_tensors
        step = positive_step(learned)
        ratio = values.to(step.dtype) / step
        inside = (ratio > 0) & (ratio < maximum_code(context.bits))
        # Outside, the code alone is 0 or M.
        slope = unsigned_codes(values, step, context.bits).sub_(ratio * inside)
        return *_gradients(context, gradient, inside, slope, learned), None, None


def positive_step(step: Tensor) -> Tensor:
    """|step|, at least 1e-8 [R].

    The paper has step > 0 but an optimizer may cross 0. Clamped, such a layer's output would be 0
    and its weights, all outside, would have no gradient any more; mirrored, it goes on learning.
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


def _gradients(
    context: Any, gradient: Tensor, inside: Tensor, slope: Tensor, learned: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    of_values = gradient * inside if context.needs_input_grad[0] else None
    of_step = None
    if context.needs_input_grad[1]:
        mirrored = torch.where(learned < 0, -context.scale, context.scale).to(learned.dtype)
        weighted = slope.mul_(gradient.to(learned.dtype))
        of_step = weighted.sum_to_size(learned.shape) * mirrored
    return of_values, of_step
