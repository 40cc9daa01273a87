"""Base of the quantizers: of weights, and of activations to codes."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitat_deploy.training.native import normalize
from bitat_deploy.training.recipe_sections import QuantizationRecipe
from bitat_deploy.training.registry import QUANTIZERS


class WeightMode(Enum):
    """What a binary layer multiplies with."""

    FULL = "full"  # the latent weights
    BINARY = "binary"  # quantized, straight-through gradient
    COMMITTED = "committed"  # the stored weights are alpha and signs already; signs do not train


class WeightQuantizer(nn.Module):
    """Quantizes a layer's weights; what it learns are its parameters.

    ``committable``: the weights are alpha * signs, so that BiTAT can fix them.
    """

    committable = False

    def initialize(self, weight: Tensor) -> None:
        """Set what it learns for ``weight``, as for a newly loaded full-precision checkpoint."""

    def levels(self, weight: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Odd levels int64 of the weight's shape, and what level 1 stands for, float64 [out]."""
        raise NotImplementedError


class Activation(nn.Module, ABC):
    """The step from real values to the codes that a binary layer reads, [N, C, H, W].

    A nonlinearity in full precision and a quantizer once ``quantized``, so that a network and its
    full-precision twin have the same parameters. Codes have ``bits`` bits; ``signed`` as in
    :class:`~bitat_deploy.network.Codes`. ``linear``: in full precision there is no nonlinearity.
    With ``channels`` a learned threshold of each channel is subtracted first (ReActNet, arXiv
    2003.03488, equation 5: RSign).
    """

    signed: bool
    bits: int

    def __init__(self, linear: bool, channels: int | None) -> None:
        super().__init__()
        self.linear = linear
        self.quantized = False
        self.threshold: nn.Parameter | None = None
        if channels is not None:
            self.threshold = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def moved(self, values: Tensor) -> Tensor:
        """Values less the learned threshold."""
        return values if self.threshold is None else values - self.threshold

    def of_normalized(self, sums: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
        """This activation of normalized sums, both [N, C, H, W]."""
        result: Tensor = self(normalize(sums, normalization))
        return result

    @abstractmethod
    def unit(self) -> float:
        """What level 1 of the codes stands for."""

    def crossings(self) -> NDArray[np.float64]:
        """The values from which on the code is 1, 2, ...: [2^bits - 1, channels, or 1 for all]."""
        values = self.levels_begin()[:, None]
        if self.threshold is None:
            return values
        return values + self.threshold.detach().cpu().double().numpy().reshape(1, -1)

    @abstractmethod
    def levels_begin(self) -> NDArray[np.float64]:
        """The same, [2^bits - 1], without the learned threshold."""


@dataclass(frozen=True)
class Quantizer:
    """A kind of quantization, registered under its name in recipes.

    ``weight`` makes the quantizer of a layer's weight [out, ...]. ``activation`` takes ``linear``
    and ``channels`` of :class:`Activation`. ``padding_value``: with what binary layers pad.
    ``bits``: those it can have. ``signed``: activations keep the sign of their input, so that in
    full precision a nonlinearity elsewhere in the block can replace theirs. ``steps``: it has the
    options for them, ``per_channel`` and ``signed_bottleneck``.
    """

    weight: Callable[[Tensor, QuantizationRecipe], WeightQuantizer]
    activation: Callable[[QuantizationRecipe, bool, int | None], Activation]
    padding_value: float
    bits: tuple[int, ...]
    signed: bool = False
    steps: bool = False


def quantizer_of(quantization: QuantizationRecipe) -> Quantizer:
    """The quantizer that a recipe names."""
    return QUANTIZERS[quantization.quantizer]


def make_activation(
    quantization: QuantizationRecipe, linear: bool = False, channels: int | None = None
) -> Activation:
    """The activation of a recipe; ``linear`` after a linear bottleneck."""
    return quantizer_of(quantization).activation(quantization, linear, channels)


def int8_scale(weight: Tensor, per_channel: bool) -> Tensor:
    """The step of a symmetric int8 grid (-127..127): [out, 1, ...] or a scalar tensor."""
    magnitude = weight.detach().abs()
    if per_channel:
        largest = magnitude.amax(dim=tuple(range(1, weight.dim())), keepdim=True)
    else:
        largest = magnitude.max()
    return largest.clamp(min=1e-8) / 127


def int8_weight(weight: Tensor, per_channel: bool) -> Tensor:
    """Round ``weight`` to its int8 grid, staying in float; the gradient passes unchanged."""
    scale = int8_scale(weight, per_channel)
    rounded = torch.round(weight.detach() / scale) * scale
    return weight + (rounded - weight.detach())
