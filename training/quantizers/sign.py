"""The quantizer "sign": weights and activations of 1 bit, straight-through gradients."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bitat_deploy.training.native import normalize_and_sign, sign_of_activation
from bitat_deploy.training.quantizers.quantizer import Activation, Quantizer, WeightQuantizer
from bitat_deploy.training.registry import QUANTIZERS


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


class SignWeight(WeightQuantizer):
    """:func:`binarized_weight` as a layer's quantizer."""

    committable = True

    def forward(self, weight: Tensor) -> Tensor:
        """[out, ...] to the same shape."""
        return binarized_weight(weight)

    def levels(self, weight: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Signs, and mean |weight|."""
        values = weight.detach().cpu().double().numpy()
        return np.where(values >= 0, 1, -1), np.abs(values).reshape(len(values), -1).mean(axis=1)


class SignActivation(Activation):
    """Sign with the triangular slope; in full precision the hard tanh, in the same range."""

    signed = True
    bits = 1

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape."""
        values = self.moved(values)
        if self.quantized:
            return sign_of_activation(values)
        return values if self.linear else functional.hardtanh(values)

    def of_normalized(self, sums: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
        """As one operation where there is no threshold in between."""
        if self.quantized and self.threshold is None:
            return normalize_and_sign(sums, normalization)
        return super().of_normalized(sums, normalization)

    def unit(self) -> float:
        """The levels are -1 and +1."""
        return 1.0

    def levels_begin(self) -> NDArray[np.float64]:
        """sign(0) = +1."""
        return np.zeros(1)


QUANTIZERS.add(
    "sign",
    Quantizer(
        weight=lambda weight, recipe: SignWeight(),
        activation=lambda recipe, linear, channels: SignActivation(linear, channels),
        padding_value=1.0,
        bits=(1,),
        signed=True,
    ),
)
