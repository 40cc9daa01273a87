"""Batch normalisation, alone or with what follows it, as one native operation."""

import ctypes
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bitat_deploy.training.native.library import check, kernels, kernels_for, pointer
from bitat_deploy.training.native.quantize import Levels
from bitat_deploy.training.native.sign import sign_of_activation

# What follows the normalisation, as in normalize.c.
_NOTHING, _SIGN, _RELU, _LEVELS = range(4)


def normalize(values: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
    """normalization(values) for [N, C, H, W]; running statistics advance in training."""
    if not fuses(values, normalization):
        result: Tensor = normalization(values)
        return result
    return _trained(values, normalization, _NOTHING)


def normalize_and_rectify(values: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
    """ReLU of normalization(values) for [N, C, H, W]; else as :func:`normalize`."""
    if not fuses(values, normalization):
        return functional.relu(normalization(values))
    return _trained(values, normalization, _RELU)


def normalize_and_sign(values: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
    """sign(normalization(values)) for [N, C, H, W]; else as :func:`normalize`.

    The gradient passes the sign by the slope max(0, 2 - 2|y|), see
    :func:`~bitat_deploy.training.native.sign_of_activation`.
    """
    if not _fits(values, normalization):
        return sign_of_activation(normalization(values))
    if normalization.training:
        return _trained(values, normalization, _SIGN)
    if torch.is_grad_enabled() and (values.requires_grad or normalization.weight.requires_grad):
        return sign_of_activation(normalization(values))
    scale, shift = scale_and_shift(normalization)
    values = values.contiguous(memory_format=torch.channels_last)
    return _followed(values, scale.detach(), shift.detach(), _SIGN, _array(None, None))


def normalize_and_quantize(
    values: Tensor, normalization: nn.BatchNorm2d, step: Tensor, levels: Levels
) -> Tensor:
    """normalization(values) on ``levels`` for [N, C, H, W], where :func:`fuses` says so.

    ``step`` [] > 0 has the gradient sum(gradient * (level - y where it passes)) / step.
    """
    return _trained(values, normalization, _LEVELS, step, levels)


def fuses(values: Tensor, normalization: nn.BatchNorm2d) -> bool:
    """Whether training's normalisation and what follows it can be one native operation."""
    return normalization.training and _fits(values, normalization)


def scale_and_shift(normalization: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The affine map [C], [C] that the normalisation is in evaluation."""
    assert normalization.running_mean is not None and normalization.running_var is not None
    scale = normalization.weight / torch.sqrt(normalization.running_var + normalization.eps)
    return scale, normalization.bias - normalization.running_mean * scale


def _fits(values: Tensor, normalization: nn.BatchNorm2d) -> bool:
    shared = type(normalization) is not nn.BatchNorm2d  # its batch is not all in this process
    return not shared and kernels_for(values) is not None


def _trained(
    values: Tensor,
    normalization: nn.BatchNorm2d,
    then: int,
    step: Tensor | None = None,
    levels: Levels | None = None,
) -> Tensor:
    result: Tensor
    result, mean, variance = _Normalize.apply(
        values, normalization.weight, normalization.bias, step, normalization.eps, then, levels
    )
    _advance(normalization, mean, variance, values.numel() // values.shape[1])
    return result


def _advance(normalization: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """What nn.BatchNorm2d does to its running statistics after one batch."""
    assert normalization.running_mean is not None and normalization.running_var is not None
    assert normalization.num_batches_tracked is not None
    normalization.num_batches_tracked.add_(1)
    momentum = normalization.momentum
    if momentum is None:
        momentum = 1.0 / float(normalization.num_batches_tracked)
    normalization.running_mean.lerp_(mean, momentum)
    normalization.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum)


class _Normalize(torch.autograd.Function):
    """Training mode: statistics of the batch."""

    @staticmethod
    def forward(
        context: Any,
        values: Tensor,
        weight: Tensor,
        bias: Tensor,
        step: Tensor | None,
        eps: float,
        then: int,
        levels: Levels | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        library = kernels()
        assert library is not None
        values = values.contiguous(memory_format=torch.channels_last)
        channels = values.shape[1]
        rows = values.numel() // channels
        mean, variance = values.new_empty(channels), values.new_empty(channels)
        check(
            library.channel_moments(
                pointer(values), rows, channels, pointer(mean), pointer(variance)
            )
        )
        inverse = torch.rsqrt(variance + eps)
        scale = weight * inverse
        shift = bias - mean * scale
        context.save_for_backward(values, mean, inverse, scale, shift)
        context.mark_non_differentiable(mean, variance)
        context.then, context.levels = then, _array(step, levels)
        return _followed(values, scale, shift, then, context.levels), mean, variance

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        library = kernels()
        assert library is not None
        values, mean, inverse, scale, shift = context.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        channels = values.shape[1]
        grad_values = torch.empty_like(values)
        grad_weight, grad_bias = torch.empty_like(mean), torch.empty_like(mean)
        sum_of_step = ctypes.c_double()
        check(
            library.normalized_backward(
                context.then,
                pointer(gradient),
                pointer(values),
                values.numel() // channels,
                channels,
                *(pointer(array) for array in (mean, inverse, scale, shift)),
                context.levels,
                *(pointer(array) for array in (grad_values, grad_weight, grad_bias)),
                ctypes.byref(sum_of_step),
            )
        )
        grad_step = None
        if context.then == _LEVELS:
            grad_step = values.new_tensor(sum_of_step.value / context.levels[0])
        return grad_values, grad_weight, grad_bias, grad_step, None, None, None


def _followed(
    values: Tensor, scale: Tensor, shift: Tensor, then: int, levels: ctypes.Array[ctypes.c_float]
) -> Tensor:
    library = kernels()
    assert library is not None
    result = torch.empty_like(values)
    channels = values.shape[1]
    library.normalized(
        then,
        pointer(values),
        values.numel() // channels,
        channels,
        pointer(scale),
        pointer(shift),
        levels,
        pointer(result),
    )
    return result


def _array(step: Tensor | None, levels: Levels | None) -> ctypes.Array[ctypes.c_float]:
    """normalize.c's struct levels, of which operations without levels read nothing."""
    if step is None or levels is None:
        return (ctypes.c_float * 5)()
    return (ctypes.c_float * 5)(float(step), levels.before, levels.after, levels.top, levels.centre)
