"""The quantizer "sign": weights and activations of 1 bit, straight-through gradients."""

from typing import Any

import numpy as np
import torch
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
    """Forward sign; backward the identity, as latent weights stay within [-1, 1]."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return binary_sign(values)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient


def binarized_weight(weight: Tensor) -> Tensor:
    """alpha * sign(weight) with alpha = mean |weight| of each output channel (XNOR-Net, eq. 6).

    ``weight`` [out, ...]. The gradient reaches ``weight`` straight through the sign; alpha is
    held constant, since the batch normalisation that follows cancels it.
    """
    alpha = weight.detach().abs().mean(dim=tuple(range(1, weight.dim())), keepdim=True)
    signs: Tensor = _SignOfWeight.apply(weight)
    return alpha * signs


def constrain_latent(weight: Tensor) -> None:
    """Clamp latent weights to [-1, 1], after a step (BinaryConnect, arXiv 1511.00363, 2.4).

    One that is larger would need many steps more before its sign could change.
    """
    weight.clamp_(-1, 1)


class SignWeight(WeightQuantizer):
    """:func:`binarized_weight` as a layer's quantizer."""

    def forward(self, weight: Tensor) -> Tensor:
        """[out, ...] to the same shape."""
        return binarized_weight(weight)

    def constrain(self, weight: Tensor) -> None:
        """:func:`constrain_latent`."""
        constrain_latent(weight)

    def levels(self, weight: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Signs, and mean |weight|."""
        values = weight.detach().cpu().double().numpy()
        return np.where(values >= 0, 1, -1), np.abs(values).reshape(len(values), -1).mean(axis=1)


class SignActivation(Activation):
    """Sign with the triangular slope.

    In full precision the hard tanh, in the same range, or ReLU, with which networks learn better.
    """

    signed = True
    bits = 1

    def activated(self, values: Tensor) -> Tensor:
        """Sign or the nonlinearity."""
        if self.quantized:
            return sign_of_activation(values)
        return self.full_precision(values)

    def of_normalized(self, sums: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
        """As one operation."""
        if self.quantized:
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
        activation=lambda recipe, nonlinearity: SignActivation(nonlinearity),
        nonlinearities=("hard-tanh", "relu"),
        padding_value=1.0,
        bits=(1,),
        signed=True,
    ),
)
