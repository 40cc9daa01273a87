"""The commit: choose a layer's final signs by coordinate descent on loss (1) [R]."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bitat_deploy.training.quantizers import binary_sign


@dataclass(frozen=True, eq=False)
class Commit:
    """Signs b in {-1, +1} [groups, d, outputs], their scales alpha > 0 [groups, 1, outputs], and
    loss (1) relative to the output's energy, of sign(W) with mean|w| and of the result."""

    signs: Tensor
    alpha: Tensor
    error_before: float
    error_after: float
    flipped: int

    def weight(self) -> Tensor:
        """Q(W) = alpha * b, [groups, d, outputs]."""
        return self.alpha * self.signs


def output_error(second_moment: Tensor, difference: Tensor) -> Tensor:
    """Loss (1) [D]: E||x^T Delta||^2 = tr(Delta^T H Delta) = ||diag(s)^(1/2) V^T Delta||^2.

    ``second_moment`` [groups, d, d]; ``difference`` Delta = W - Q(W), [groups, d, outputs].
    V and s are H's eigenvectors and eigenvalues; the trace needs neither. Gives a scalar, summed
    over groups and outputs.
    """
    return (difference * (second_moment @ difference)).sum()


def optimal_alpha(second_moment: Tensor, weight: Tensor, signs: Tensor) -> Tensor:
    """Equation (2) [D]: alpha* = (b^T H w) / (b^T H b) for each output, [groups, 1, outputs]."""
    product = second_moment @ signs
    energy = (signs * product).sum(dim=1, keepdim=True)
    return (weight * product).sum(dim=1, keepdim=True) / energy.clamp(min=1e-12)


def commit_signs(
    second_moment: Tensor, weight: Tensor, sweeps: int, by_importance: bool = True
) -> Commit:
    """Minimise tr((W - alpha b)^T H (W - alpha b)) over signs and scales, from b = sign(W) [R].

    ``second_moment`` [groups, d, d] and ``weight`` [groups, d, outputs]. Coordinates are visited
    in order of decreasing importance H_ii, or as they come unless ``by_importance``; all outputs
    at once, for they do not depend on each other. alpha follows equation (2) after every sweep,
    so loss (1) never rises. Computes in float64. A negative alpha is made positive by negating
    the signs, which leaves alpha b as is.
    """
    H = second_moment.to(torch.float64)
    W = weight.to(torch.float64)
    start = binary_sign(W)
    signs = start.clone()
    energy = output_error(H, W).clamp(min=1e-12)
    plain = W.abs().mean(dim=1, keepdim=True) * signs
    before = float(output_error(H, W - plain) / energy)
    alpha = optimal_alpha(H, W, signs)
    importance = H.diagonal(dim1=1, dim2=2)  # [groups, d]
    if not by_importance:
        importance = torch.zeros_like(importance)
    order = importance.argsort(dim=1, descending=True, stable=True)
    groups = torch.arange(H.shape[0])
    for _ in range(sweeps):
        previous = signs.clone()
        residual = H @ (W - alpha * signs)  # [groups, d, outputs]
        for step in range(H.shape[1]):
            i = order[:, step]
            old = signs[groups, i]  # [groups, outputs]
            scale = alpha[:, 0]
            own = H[groups, i, i].unsqueeze(1)
            pull = residual[groups, i] + own * scale * old
            new = binary_sign(pull * binary_sign(scale))
            new = torch.where(pull == 0, old, new)  # a tie keeps its sign
            change = scale * (new - old)
            residual -= H[groups, :, i].unsqueeze(2) * change.unsqueeze(1)
            signs[groups, i] = new
        alpha = optimal_alpha(H, W, signs)
        if torch.equal(signs, previous):
            break
    negative = alpha < 0
    signs = torch.where(negative, -signs, signs)
    alpha = alpha.abs().clamp(min=1e-6)
    after = float(output_error(H, W - alpha * signs) / energy)
    return Commit(signs, alpha, before, after, int((signs != start).sum()))
