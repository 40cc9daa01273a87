"""Batch normalisation, alone or with sign, as one native operation."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bitat_deploy.training.native.library import check, kernels, kernels_for, pointer
from bitat_deploy.training.native.sign import sign_of_activation


def normalize(values: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
    """normalization(values) for [N, C, H, W]; running statistics advance in training."""
    if not (_fits(values, normalization) and normalization.training):
        result: Tensor = normalization(values)
        return result
    return _trained(values, normalization, sign=False)


def normalize_and_sign(values: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
    """sign(normalization(values)) for [N, C, H, W]; running statistics advance in training.

    The gradient passes the sign by the slope max(0, 2 - 2|y|), see
    :func:`~bitat_deploy.training.native.sign_of_activation`.
    """
    if not _fits(values, normalization):
        return sign_of_activation(normalization(values))
    if normalization.training:
        return _trained(values, normalization, sign=True)
    if torch.is_grad_enabled() and (values.requires_grad or normalization.weight.requires_grad):
        return sign_of_activation(normalization(values))
    scale, shift = scale_and_shift(normalization)
    values = values.contiguous(memory_format=torch.channels_last)
    return _scaled(values, scale.detach(), shift.detach(), sign=True)


def scale_and_shift(normalization: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The affine map [C], [C] that the normalisation is in evaluation."""
    assert normalization.running_mean is not None and normalization.running_var is not None
    scale = normalization.weight / torch.sqrt(normalization.running_var + normalization.eps)
    return scale, normalization.bias - normalization.running_mean * scale


def _fits(values: Tensor, normalization: nn.BatchNorm2d) -> bool:
    shared = type(normalization) is not nn.BatchNorm2d  # its batch is not all in this process
    return not shared and kernels_for(values) is not None


def _trained(values: Tensor, normalization: nn.BatchNorm2d, sign: bool) -> Tensor:
    result: Tensor
    result, mean, variance = _Normalize.apply(
        values, normalization.weight, normalization.bias, normalization.eps, sign
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
        context: Any, values: Tensor, weight: Tensor, bias: Tensor, eps: float, sign: bool
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
        context.sign = sign
        return _scaled(values, scale, shift, sign), mean, variance

    @staticmethod
    @once_differentiable
    def backward(
        context: Any, gradient: Tensor, *_: Any
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        library = kernels()
        assert library is not None
        values, mean, inverse, scale, shift = context.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        channels = values.shape[1]
        grad_values = torch.empty_like(values)
        grad_weight, grad_bias = torch.empty_like(mean), torch.empty_like(mean)
        arrays = (mean, inverse, scale, shift, grad_values, grad_weight, grad_bias)
        name = "normalize_sign_backward" if context.sign else "normalize_backward"
        check(
            getattr(library, name)(
                pointer(gradient),
                pointer(values),
                values.numel() // channels,
                channels,
                *(pointer(array) for array in arrays),
            )
        )
        return grad_values, grad_weight, grad_bias, None, None


def _scaled(values: Tensor, scale: Tensor, shift: Tensor, sign: bool) -> Tensor:
    library = kernels()
    assert library is not None
    result = torch.empty_like(values)
    channels = values.shape[1]
    kernel = library.scale_sign if sign else library.scale_shift
    kernel(
        pointer(values),
        values.numel() // channels,
        channels,
        pointer(scale),
        pointer(shift),
        pointer(result),
    )
    return result
