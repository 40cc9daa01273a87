"""What stands before a binary layer: the step from real values to the codes that it reads.

Each is a nonlinearity in full precision and a quantizer once ``quantized``, so that a network and
its full-precision twin have the same parameters.
"""

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn

from bitat_deploy.training.native import normalize, normalize_and_sign, sign_of_activation
from bitat_deploy.training.recipe_sections import QuantizationRecipe
from bitat_deploy.training.uniq import ActivationQuantizer


class Activation(nn.Module, ABC):
    """Codes of ``bits`` bits for [N, C, H, W]; ``signed`` as in :class:`~..network.Codes`.

    ``linear``: in full precision there is no nonlinearity. With ``channels`` a learned threshold
    of each channel is subtracted first (ReActNet, arXiv 2003.03488, equation 5: RSign).
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


class UniqActivation(Activation):
    """UniQ's quantizer; in full precision ReLU.

    ``signed`` takes the symmetric levels, for what a linear bottleneck gives.
    """

    def __init__(self, bits: int, signed: bool, linear: bool, channels: int | None) -> None:
        super().__init__(linear, channels)
        self.quantizer = ActivationQuantizer(bits, signed)
        self.bits, self.signed = bits, signed

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape."""
        values = self.moved(values)
        calibrating = self.quantizer.calibrating
        if self.quantized and not calibrating:
            result: Tensor = self.quantizer(values)  # unsigned levels hold the ReLU
            return result
        values = values if self.linear else functional.relu(values)
        return self.quantizer(values) if calibrating else values

    def unit(self) -> float:
        """The step of the levels u; half of it where they are 2 u - (2^bits - 1)."""
        step = float(self.quantizer.distance())
        return step / 2 if self.signed else step

    def levels_begin(self) -> NDArray[np.float64]:
        """Half-way between the levels; the upper one has the middle."""
        codes = np.arange(1, 2**self.bits)
        step = float(self.quantizer.distance())
        return step * (codes - 2 ** (self.bits - 1) if self.signed else codes - 0.5)


def make_activation(
    quantization: QuantizationRecipe, linear: bool = False, channels: int | None = None
) -> Activation:
    """The activation of a recipe; after a linear bottleneck UniQ's is signed if so wanted."""
    if quantization.quantizer == "sign":
        return SignActivation(linear, channels)
    signed = linear and quantization.signed_bottleneck
    return UniqActivation(quantization.activation_bits, signed, linear, channels)
