"""What a layer's weights should be, given what its inputs have become: the stream target [R].

A least-squares regression of what the layer has to give on its quantized inputs. It knows of all
errors below, linear or not, and of what a shortcut carries past the layer.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_TINY = 1e-9  # an input that never varies has a row of zeros


@dataclass(frozen=True, eq=False)
class Moments:
    """Of a layer's patches x [groups, d] and of what it should give y [groups, outputs]; float64.

    ``inputs`` E[x] and ``outputs`` E[y]; ``covariance`` H = Cov(x) [groups, d, d]; ``cross``
    Cov(x, y) [groups, d, outputs]; ``variance`` Var(y) [groups, outputs].
    """

    inputs: Tensor
    outputs: Tensor
    covariance: Tensor
    cross: Tensor
    variance: Tensor


class MomentSums:
    """Adds up the rows of which :class:`Moments` are made, batch by batch."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: list[Tensor] = []

    def add(self, x: Tensor, y: Tensor) -> None:
        """``x`` [groups, count, d] and ``y`` [groups, count, outputs] of the same positions."""
        across = x.transpose(1, 2)
        products = [x.sum(1), y.sum(1), across @ x, across @ y, y.square().sum(1)]
        sums = [product.to(torch.float64) for product in products]
        if self._sums:
            sums = [old.add_(new) for old, new in zip(self._sums, sums, strict=True)]
        self._sums = sums
        self._count += x.shape[1]

    def read(self) -> Moments:
        """The moments of all rows so far."""
        assert self._count, "no image reached the layer"
        x, y, own, cross, square = (entry / self._count for entry in self._sums)
        return Moments(
            x,
            y,
            own - x.unsqueeze(2) * x.unsqueeze(1),
            cross - x.unsqueeze(2) * y.unsqueeze(1),
            square - y.square(),
        )


def ridge_of(covariance: Tensor, ridge: float) -> Tensor:
    """H with ``ridge`` times the mean of its diagonal added to the diagonal, [groups, d, d]."""
    diagonal = covariance.diagonal(dim1=1, dim2=2)
    added = ridge * diagonal.mean(dim=1, keepdim=True) + _TINY
    return covariance + torch.diag_embed(added.expand_as(diagonal))


def stream_target(moments: Moments, weight: Tensor, ridge: float, prior: bool) -> Tensor:
    """Equation (6) [R]: T = (H + rho I)^-1 Cov(x, y), rho being ``ridge`` mean(diag H).

    With ``prior`` the ridge draws to the reference's own ``weight`` W [groups, d, outputs] instead
    of 0: T = (H + rho I)^-1 (Cov(x, y) + rho W). [groups, d, outputs] in float64.
    """
    damped = ridge_of(moments.covariance, ridge)
    pull = damped - moments.covariance
    towards = moments.cross + pull @ weight.double() if prior else moments.cross
    target: Tensor = torch.linalg.solve(damped, towards)
    return target
