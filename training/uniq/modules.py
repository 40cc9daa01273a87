"""UniQ's quantizers as modules, each with its learned step."""

import math

import torch
from torch import Tensor, nn

from bitat_deploy.training.native import Levels, fuses, normalize
from bitat_deploy.training.uniq.functions import (
    positive_step,
    quantize_normalized,
    quantize_symmetric,
    quantize_unsigned,
)
from bitat_deploy.training.uniq.levels import (
    NORMAL_STEPS,
    RECTIFIED_STEPS,
    check_bits,
    codes_of,
    maximum_code,
    symmetric_levels,
    unsigned_levels,
)


class Quantizer(nn.Module):
    """What both have in common: ``bits`` and the learned ``step``, [] or [channels].

    The levels' distance is :meth:`distance`, for the sign of ``step`` has no meaning.
    """

    step: nn.Parameter

    def __init__(self, bits: int) -> None:
        check_bits(bits)
        super().__init__()
        self.bits = bits

    def distance(self) -> Tensor:
        """Delta, the positive distance of the levels, without gradient; of ``step``'s shape."""
        return positive_step(self.step)


class WeightQuantizer(Quantizer):
    """Weights to 2^b symmetric levels without zero; one step for the layer or for each channel.

    ``weight`` is [out, ...]; with ``per_channel`` there is a step for each of its ``out``. The
    first step is std(weight) c_b [P], of each channel where there is one for each [R]. The step's
    gradient is scaled by 1 / sqrt(N max(2^(b-1) - 1, 1)), N weights sharing the step [P].
    It can be attached to any layer of the user's::

        torch.nn.utils.parametrize.register_parametrization(
            conv, "weight", WeightQuantizer(conv.weight, bits=2, per_channel=True))

    Raises ValueError for bits outside 1..8.
    """

    def __init__(self, weight: Tensor, bits: int, per_channel: bool = False) -> None:
        super().__init__(bits)
        self.per_channel = per_channel
        self.step = nn.Parameter(torch.empty(weight.shape[0]) if per_channel else torch.empty(()))
        self.initialize(weight)

    @torch.no_grad()
    def initialize(self, weight: Tensor) -> None:
        """Set the step for ``weight``, as for a newly loaded full-precision checkpoint."""
        values = weight.detach().float()
        values = values.flatten(1) if self.per_channel else values.flatten()[None]
        deviation = values.std(dim=1, correction=int(values.shape[1] > 1))
        # A channel of equal weights (or one weight) has no deviation: its levels fit its size.
        spread = torch.where(deviation > 0, deviation, values.abs().mean(dim=1))
        step = (spread * NORMAL_STEPS[self.bits]).clamp(min=1e-6)
        self.step.copy_(step.reshape(self.step.shape))

    def forward(self, weight: Tensor) -> Tensor:
        """[out, ...] to the same shape, on its levels."""
        shared = weight[0].numel() if self.per_channel else weight.numel()
        scale = symmetric_gradient_scale(shared, self.bits)
        return quantize_symmetric(weight, self._broadcast(self.step, weight), self.bits, scale)

    @torch.no_grad()
    def codes(self, weight: Tensor) -> Tensor:
        """The levels' numbers, int64 [out, ...] in 0..M; a level is (code - M/2) distance()."""
        step = self._broadcast(self.distance(), weight)
        return codes_of(weight, step, symmetric_levels(self.bits)).long()

    def _broadcast(self, step: Tensor, weight: Tensor) -> Tensor:
        return step.reshape(-1, *[1] * (weight.dim() - 1)) if self.per_channel else step

    def extra_repr(self) -> str:
        """For print(network)."""
        return f"bits={self.bits}, per_channel={self.per_channel}"


class ActivationQuantizer(Quantizer):
    """Activations to 2^b levels, one step for the layer.

    Unsigned levels 0..M step by default, as after ReLU: negative values become 0 [P]. ``signed``
    takes the symmetric levels of the weights instead, for what comes from a linear bottleneck, of
    which the unsigned quantizer would lose the negative half [R].

    Before :func:`~bitat_deploy.training.uniq.calibrate` the step is that for normalized values of
    variance 1. The step's gradient is scaled by 1 / sqrt(N M), N values of the batch [P]; signed
    as the weights' [R]. Raises ValueError for bits outside 1..8.
    """

    def __init__(self, bits: int, signed: bool = False) -> None:
        super().__init__(bits)
        self.signed = signed
        steps = NORMAL_STEPS if signed else RECTIFIED_STEPS
        self.step = nn.Parameter(torch.tensor(steps[bits]))
        self._largest: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        """[N, ...] to the same shape, on its levels; unchanged during calibration."""
        if self._largest is not None:
            self._largest = torch.maximum(self._largest, self._fitting_step(values))
            return values
        quantize = quantize_symmetric if self.signed else quantize_unsigned
        return quantize(values, self.step, self.bits, self._gradient_scale(values.numel()))

    def of_normalized(self, sums: Tensor, normalization: nn.BatchNorm2d) -> Tensor:
        """The levels of normalization(sums), [N, C, H, W], as one operation."""
        if not fuses(sums, normalization):
            levels: Tensor = self(normalize(sums, normalization))
            return levels
        scale = self._gradient_scale(sums.numel())
        return quantize_normalized(sums, normalization, self.step, self._levels(), scale)

    @torch.no_grad()
    def codes(self, values: Tensor) -> Tensor:
        """The levels' numbers, int64 in 0..M, times distance(); signed, code - M/2 times it."""
        return codes_of(values, self.distance(), self._levels()).long()

    @property
    def calibrating(self) -> bool:
        """Whether values pass unchanged, only to be watched."""
        return self._largest is not None

    def begin_calibration(self) -> None:
        """From now on pass values through and watch how large they are."""
        self._largest = torch.zeros_like(self.step)

    @torch.no_grad()
    def end_calibration(self) -> None:
        """Set the step to the largest that a batch asked for; unchanged where none came."""
        largest, self._largest = self._largest, None
        if largest is not None and largest > 0:
            self.step.copy_(largest)

    def _levels(self) -> Levels:
        return symmetric_levels(self.bits) if self.signed else unsigned_levels(self.bits)

    def _gradient_scale(self, count: int) -> float:
        if self.signed:
            return symmetric_gradient_scale(count, self.bits)
        return 1 / math.sqrt(max(count, 1) * maximum_code(self.bits))

    @torch.no_grad()
    def _fitting_step(self, values: Tensor) -> Tensor:
        """sqrt(2 mean(v^2)) p_b [P]: of rectified values, mean(v^2) is half the variance.

        Signed, sqrt(mean(v^2)) c_b [R].
        """
        energy = values.detach().float().square().mean()
        if self.signed:
            return energy.sqrt() * NORMAL_STEPS[self.bits]
        # What is negative will be 0; after ReLU this changes nothing.
        energy = values.detach().float().clamp(min=0).square().mean()
        return (2 * energy).sqrt() * RECTIFIED_STEPS[self.bits]

    def extra_repr(self) -> str:
        """For print(network)."""
        return f"bits={self.bits}, signed={self.signed}"


def symmetric_gradient_scale(count: int, bits: int) -> float:
    """1 / sqrt(count max(2^(b-1) - 1, 1)) [P]."""
    return 1 / math.sqrt(max(count, 1) * max(2 ** (bits - 1) - 1, 1))
