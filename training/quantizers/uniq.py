"""The quantizer "uniq": UniQ's learned steps (:mod:`bitat_deploy.training.uniq`)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.training.native import normalize
from bitat_deploy.training.quantizers.quantizer import Activation, Quantizer, WeightQuantizer
from bitat_deploy.training.recipe_sections import QuantizationRecipe
from bitat_deploy.training.registry import QUANTIZERS
from bitat_deploy.training.uniq import MAXIMUM_BITS, ActivationQuantizer
from bitat_deploy.training.uniq import WeightQuantizer as LearnedStep


class UniqWeight(LearnedStep, WeightQuantizer):
    """UniQ's weight quantizer in a binary layer."""

    def check_holds(self) -> None:
        """A shared step cannot."""
        if not self.per_channel:
            raise InputError(
                "each filter has a scale of its own: quantization.per_channel must be true"
            )

    @torch.no_grad()
    def hold(self, alpha: Tensor) -> None:
        """The step is twice alpha, for 8 bits alpha. Raises InputError for a shared step."""
        self.check_holds()
        self.step.copy_(alpha if self.bits == MAXIMUM_BITS else 2 * alpha)

    def levels(self, weight: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Odd levels, of which 1 stands for half a step; of 8 bits whole ones of a step."""
        codes, step = self.codes(weight).cpu().numpy(), self.distance().cpu().double().numpy()
        if self.bits == MAXIMUM_BITS:
            return codes - 127, np.broadcast_to(step, len(weight))
        return 2 * codes - (2**self.bits - 1), np.broadcast_to(step / 2, len(weight))


class UniqActivation(Activation):
    """UniQ's quantizer; in full precision ReLU.

    ``signed`` takes the symmetric levels, for what a linear bottleneck gives.
    """

    def __init__(self, bits: int, signed: bool, nonlinearity: str | None) -> None:
        super().__init__(nonlinearity)
        self.quantizer = ActivationQuantizer(bits, signed)
        self.bits, self.signed = bits, signed

    def activated(self, values: Tensor) -> Tensor:
        """Levels or ReLU; during calibration the ReLU, watched."""
        calibrating = self.quantizer.calibrating
        if self.quantized and not calibrating:
            result: Tensor = self.quantizer(values)  # unsigned levels hold the ReLU
            return result
        values = self.full_precision(values)
        return self.quantizer(values) if calibrating else values

    def of_normalized(self, sums: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
        """As one operation; calibration watches what is between."""
        if self.quantizer.calibrating:
            return self.activated(normalize(sums, normalization))
        if self.quantized:
            return self.quantizer.of_normalized(sums, normalization)
        return super().of_normalized(sums, normalization)

    def unit(self) -> float:
        """The step of the levels u; half of it where they are 2 u - (2^bits - 1)."""
        step = float(self.quantizer.distance())
        return step / 2 if self.signed and self.bits < MAXIMUM_BITS else step

    def levels_begin(self) -> NDArray[np.float64]:
        """Half-way between the levels; the upper one has the middle."""
        codes = np.arange(1, 2**self.bits, dtype=np.float64)
        step = float(self.quantizer.distance())
        if self.signed and self.bits == MAXIMUM_BITS:
            return (codes[:-1] - 127.5) * step
        return step * (codes - 2 ** (self.bits - 1) if self.signed else codes - 0.5)


def _activation(recipe: QuantizationRecipe, nonlinearity: str | None) -> UniqActivation:
    signed = nonlinearity is None and recipe.signed_bottleneck
    return UniqActivation(recipe.activation_bits, signed, nonlinearity)


QUANTIZERS.add(
    "uniq",
    Quantizer(
        weight=lambda weight, recipe: UniqWeight(weight, recipe.weight_bits, recipe.per_channel),
        activation=_activation,
        nonlinearities=("relu",),
        padding_value=0.0,
        bits=tuple(range(1, MAXIMUM_BITS + 1)),
        steps=True,
    ),
)
