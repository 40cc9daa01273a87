"""Base of the quantizers: of weights, and of activations to codes."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn

from bitat_deploy.training.native import normalize, normalize_and_rectify
from bitat_deploy.training.normalization import affine_of
from bitat_deploy.training.recipe_sections import QuantizationRecipe
from bitat_deploy.training.registry import QUANTIZERS

NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "hard-tanh": functional.hardtanh,
}
_SMALLEST_GAMMA = 1e-3  # of a normalisation in front of a quantizer


class Constrained(ABC):
    """A module some of whose parameters have a range: steps of an optimizer may leave it."""

    @abstractmethod
    def constrain(self) -> None:
        """Project the parameters back to their range; called after each step, without gradient."""


class WeightMode(Enum):
    """What a binary layer multiplies with."""

    FULL = "full"  # the latent weights
    BINARY = "binary"  # quantized, straight-through gradient
    COMMITTED = "committed"  # the stored weights are alpha and levels already; levels do not train


class WeightQuantizer(nn.Module):
    """Quantizes a layer's weights; what it learns are its parameters."""

    def initialize(self, weight: Tensor) -> None:
        """Set what it learns for ``weight``, as for a newly loaded full-precision checkpoint."""

    def check_holds(self) -> None:
        """Raise InputError where :meth:`hold` cannot keep a scale for each filter."""

    def hold(self, alpha: Tensor) -> None:
        """Set what it learns so that alpha [out] times odd levels are left as they are."""

    def constrain(self, weight: Tensor) -> None:
        """Project the latent ``weight`` to its range, where it has one."""

    def levels(self, weight: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Levels int64 of the weight's shape, and what level 1 stands for, float64 [out].

        Odd ones, of 8 bits -127 to 127.
        """
        raise NotImplementedError


class Activation(nn.Module, Constrained):
    """The step from real values to the codes that a binary layer reads, [N, C, H, W].

    A nonlinearity in full precision and a quantizer once ``quantized``, so that a network and its
    full-precision twin have the same parameters. Codes have ``bits`` bits; ``signed`` as in
    :class:`~bitat_deploy.network.Codes`. ``nonlinearity`` is one of NONLINEARITIES, or None.
    In front of it is, for values that are not normalized, one of two: ``threshold``, learned for
    each channel and subtracted (ReActNet, arXiv 2003.03488, equation 5: RSign), or
    ``normalization``, a batch normalisation whose gamma stays positive. Both become part of the
    thresholds on the device.
    """

    signed: bool
    bits: int

    def __init__(self, nonlinearity: str | None) -> None:
        super().__init__()
        self._nonlinearity = nonlinearity
        self.quantized = False
        self.threshold: nn.Parameter | None = None
        self.normalization: nn.BatchNorm2d | None = None

    def add_threshold(self, channels: int) -> None:
        """Put a learned threshold for each of so many channels in front."""
        self.threshold = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def add_normalization(self, channels: int) -> None:
        """Put a batch normalisation of so many channels in front."""
        self.normalization = nn.BatchNorm2d(channels)

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape."""
        if self.normalization is not None:
            return self.of_normalized(values, self.normalization)
        return self.activated(values if self.threshold is None else values - self.threshold)

    def of_normalized(self, sums: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
        """The nonlinearity or quantizer of normalized sums, both [N, C, H, W]."""
        if self._nonlinearity == "relu" and not self.quantized:
            return normalize_and_rectify(sums, normalization)
        return self.activated(normalize(sums, normalization))

    @abstractmethod
    def activated(self, values: Tensor) -> Tensor:
        """The nonlinearity or quantizer by itself, [N, C, H, W] to the same shape."""

    def full_precision(self, values: Tensor) -> Tensor:
        """The nonlinearity, [N, C, H, W] to the same shape."""
        return values if self._nonlinearity is None else NONLINEARITIES[self._nonlinearity](values)

    def constrain(self) -> None:
        """A positive gamma: the codes rise with the values, so that no negation is needed."""
        if self.normalization is not None:
            self.normalization.weight.clamp_(min=_SMALLEST_GAMMA)

    @abstractmethod
    def unit(self) -> float:
        """What level 1 of the codes stands for."""

    def front(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(gain, offset), [channels, or 1 for all], of what is in front: gain value + offset."""
        if self.threshold is not None:
            threshold = self.threshold.detach().cpu().double().numpy().reshape(-1)
            return np.ones(1), -threshold
        if self.normalization is not None:
            gamma, beta, mean, deviation = affine_of(self.normalization)
            return gamma / deviation, beta - gamma * mean / deviation
        return np.ones(1), np.zeros(1)

    def crossings(self) -> NDArray[np.float64]:
        """The values from which on the code is 1, 2, ...: [2^bits - 1, channels, or 1 for all]."""
        values = self.levels_begin()[:, None]
        if self.threshold is not None:
            return values + self.threshold.detach().cpu().double().numpy().reshape(1, -1)
        if self.normalization is not None:
            gamma, beta, mean, deviation = affine_of(self.normalization)
            return mean + (values - beta) * deviation / gamma
        return values

    @abstractmethod
    def levels_begin(self) -> NDArray[np.float64]:
        """The same, [2^bits - 1], without what is in front."""


@dataclass(frozen=True)
class Quantizer:
    """A kind of quantization, registered under its name in recipes.

    ``weight`` makes the quantizer of a layer's weight [out, ...]. ``activation`` takes the
    nonlinearity, None after a linear bottleneck; a recipe may choose it from ``nonlinearities``, of
    which the first is the usual one. ``padding_value``: with what binary layers pad.
    ``bits``: those it can have. ``signed``: activations keep the sign of their input, so that in
    full precision a nonlinearity elsewhere in the block can replace theirs. ``steps``: it has the
    options for them, ``per_channel`` and ``signed_bottleneck``.
    """

    weight: Callable[[Tensor, QuantizationRecipe], WeightQuantizer]
    activation: Callable[[QuantizationRecipe, str | None], Activation]
    nonlinearities: tuple[str, ...]
    padding_value: float
    bits: tuple[int, ...]
    signed: bool = False
    steps: bool = False


def quantizer_of(quantization: QuantizationRecipe) -> Quantizer:
    """The quantizer that a recipe names."""
    return QUANTIZERS[quantization.quantizer]


def nonlinearity_of(quantization: QuantizationRecipe) -> str:
    """The nonlinearity of the full-precision twin: the recipe's, or the quantizer's usual one."""
    return quantization.nonlinearity or quantizer_of(quantization).nonlinearities[0]


def make_activation(quantization: QuantizationRecipe, linear: bool = False) -> Activation:
    """The activation of a recipe; ``linear`` after a linear bottleneck."""
    nonlinearity = None if linear else nonlinearity_of(quantization)
    return quantizer_of(quantization).activation(quantization, nonlinearity)


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
