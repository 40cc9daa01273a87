"""The commit: choose a layer's final signs by coordinate descent on loss (1) [R]."""

from dataclasses import dataclass

from torch import Tensor

from bitat_deploy.training.quantizers import binary_sign
from bitat_deploy.training.rounding import Rounded, descent, output_error


@dataclass(frozen=True, eq=False)
class Commit:
    """Signs and their scales, and loss (1) relative to the output's energy, of sign(W) with mean|w|
    and of the result; how many signs are not sign(W)."""

    rounded: Rounded
    error_before: float
    error_after: float
    flipped: int


def commit_signs(
    second_moment: Tensor, weight: Tensor, sweeps: int, by_importance: bool = True
) -> Commit:
    """Minimise tr((W - alpha b)^T H (W - alpha b)) over signs and scales, from b = sign(W) [R].

    ``second_moment`` [groups, d, d] and ``weight`` [groups, d, outputs]; by
    :func:`~bitat_deploy.training.rounding.descent`, in float64.
    """
    H, W = second_moment.double(), weight.double()
    start = binary_sign(W)
    plain = W.abs().mean(dim=1, keepdim=True) * start
    rounded = descent(H, W, 1, sweeps, by_importance)
    energy = output_error(H, W).clamp(min=1e-12)
    before, after = (float(output_error(H, W - Q) / energy) for Q in (plain, rounded.weight()))
    return Commit(rounded, before, after, int((rounded.levels != start).sum()))
