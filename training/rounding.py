"""Weights to levels without training: the ways to choose them, by name.

Each chooses Q = alpha b, with levels b of ``bits`` bits and one alpha for each output, so that a
layer's outputs change little. Levels are odd (-1 and +1; -3, -1, 1, 3; ...), of 8 bits whole (-127
to 127).

    E||x^T (T - Q)||^2 = tr((T - Q)^T H (T - Q))                                              (1)

H is the second moment of the inputs, or their covariance, [groups, d, d]; T are the real weights,
[groups, d, outputs]. Outputs do not depend on each other. All but "adaround" compute in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_SMALLEST_ALPHA = 1e-6
_SURE = 0.98  # how far latent weights go within their level's range


@dataclass(frozen=True, eq=False)
class Rounded:
    """``levels`` [groups, d, outputs] and their ``alpha`` > 0 [groups, 1, outputs], float64."""

    levels: Tensor
    alpha: Tensor

    def weight(self) -> Tensor:
        """Q = alpha b, [groups, d, outputs]."""
        return self.alpha * self.levels


def output_error(second_moment: Tensor, difference: Tensor) -> Tensor:
    """Loss (1) [D]: tr(Delta^T H Delta) = ||diag(s)^(1/2) V^T Delta||^2, a scalar.

    ``second_moment`` [groups, d, d]; ``difference`` Delta = T - Q, [groups, d, outputs]. V and s
    are H's eigenvectors and eigenvalues; the trace needs neither.
    """
    return _error_terms(second_moment, difference).sum()


def output_errors(second_moment: Tensor, difference: Tensor) -> Tensor:
    """Loss (1) of each output by itself, [groups, 1, outputs]."""
    return _error_terms(second_moment, difference).sum(dim=1, keepdim=True)


def optimal_alpha(second_moment: Tensor, target: Tensor, levels: Tensor) -> Tensor:
    """Equation (2) [D]: alpha* = (b^T H t) / (b^T H b) for each output, [groups, 1, outputs]."""
    product = second_moment @ levels
    energy = (levels * product).sum(dim=1, keepdim=True)
    return (target * product).sum(dim=1, keepdim=True) / energy.clamp(min=1e-12)


def nearest_levels(values: Tensor, bits: int) -> Tensor:
    """The level next to each value, the upper one half-way: for one bit the sign, +1 at 0."""
    spacing, offset, top = _spacing(bits)
    levels = torch.floor((values - offset) / spacing + 0.5)
    return levels.mul_(spacing).add_(offset).clamp_(-top, top)


def nearest(second_moment: Tensor, target: Tensor, bits: int) -> Rounded:
    """The nearest levels, with the scale whose output error is least."""
    H, T = second_moment.double(), target.double()
    return _finished(H, T, nearest_levels(T / _calibrated_alpha(H, T, bits), bits))


def descent(
    second_moment: Tensor,
    target: Tensor,
    bits: int,
    sweeps: int = 4,
    by_importance: bool = True,
) -> Rounded:
    """Coordinate descent on (1) from the nearest levels [R].

    Inputs are visited in the order of decreasing importance H_ii, or as they come unless
    ``by_importance``; each takes the level that is best while the others stay, and a tie keeps
    its level. alpha follows equation (2) after every sweep. So (1) never rises.
    """
    H, T = second_moment.double(), target.double()
    levels = nearest_levels(T / _calibrated_alpha(H, T, bits), bits)
    alpha = optimal_alpha(H, T, levels)  # may be negative: the levels then turn at the end
    order = _by_importance(H)
    if not by_importance:
        order = torch.arange(H.shape[1], device=H.device).expand_as(order)
    groups = torch.arange(H.shape[0], device=H.device)
    for _ in range(sweeps):
        before = levels.clone()
        residual = H @ (T - alpha * levels)  # [groups, d, outputs]
        for step in range(H.shape[1]):
            i = order[:, step]
            old, scale = levels[groups, i], alpha[:, 0]  # [groups, outputs]
            wanted = old + residual[groups, i] / (H[groups, i, i].unsqueeze(1) * scale)
            new = nearest_levels(wanted, bits)
            better = (new - wanted).abs() < (old - wanted).abs()  # not where there is no input
            new = torch.where(better, new, old)
            change = scale * (new - old)
            residual -= H[groups, :, i].unsqueeze(2) * change.unsqueeze(1)
            levels[groups, i] = new
        alpha = optimal_alpha(H, T, levels)
        if torch.equal(levels, before):
            break
    return _finished(H, T, levels)


def gptq(second_moment: Tensor, target: Tensor, bits: int, damping: float = 0.01) -> Rounded:
    """As GPTQ (arXiv 2210.17323): input after input to the nearest level, most important first.

    The error of each is made up for by the inputs that follow. ``damping`` of the mean of H_ii is
    added to the diagonal, as there (section 3.3).
    """
    H, T = second_moment.double(), target.double()
    alpha = _calibrated_alpha(H, T, bits)
    order = _by_importance(H)
    rows = order.unsqueeze(2)
    left = torch.gather(T, 1, rows.expand_as(T))
    ordered = torch.gather(H, 1, rows.expand_as(H))
    ordered = torch.gather(ordered, 2, order.unsqueeze(1).expand_as(H))
    diagonal = ordered.diagonal(dim1=1, dim2=2)
    diagonal += damping * diagonal.mean(dim=1, keepdim=True) + 1e-9
    upper = torch.linalg.cholesky(torch.linalg.inv(ordered), upper=True)
    levels = torch.empty_like(left)
    for i in range(H.shape[1]):
        levels[:, i] = nearest_levels(left[:, i] / alpha[:, 0], bits)
        error = (left[:, i] - alpha[:, 0] * levels[:, i]) / upper[:, i, i].unsqueeze(1)
        left[:, i:] -= upper[:, i, i:].unsqueeze(2) * error.unsqueeze(1)
    back = order.argsort(dim=1).unsqueeze(2)
    return _finished(H, T, torch.gather(levels, 1, back.expand_as(levels)))


def adaround(second_moment: Tensor, target: Tensor, bits: int, steps: int = 600) -> Rounded:
    """As AdaRound (arXiv 2004.10568): up or down, by a relaxed choice that (1) trains.

    Rectified sigmoids and a regularizer whose exponent falls (equations 23 and 24), by Adam in
    float32; the first fifth of the ``steps`` without the regularizer.
    """
    H, T = second_moment.double(), target.double()
    scaled = T / _calibrated_alpha(H, T, bits)
    spacing, offset, top = _spacing(bits)
    lower = torch.floor((scaled - offset) / spacing).mul_(spacing).add_(offset)
    lower.clamp_(-top, top - spacing)
    share = ((scaled - lower) / spacing).clamp(0.01, 0.99)
    energy = output_errors(H, scaled).mean().clamp(min=1e-12)
    H32, distance = (H / energy).float(), (lower - scaled).float()
    with torch.enable_grad():
        choice = torch.log((share + 0.1) / (1.1 - share)).float().requires_grad_()
        optimizer = torch.optim.Adam([choice], lr=0.03)
        for step in range(steps):
            up = (1.2 * torch.sigmoid(choice) - 0.1).clamp(0, 1)
            loss = output_error(H32, distance + spacing * up)
            if step > steps // 5:
                exponent = 20 - 18 * step / steps
                undecided = 1 - (2 * up - 1).abs().pow(exponent)
                loss = loss + 0.01 * undecided.sum() / target.shape[2]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return _finished(H, T, lower + spacing * (choice.detach() >= 0))


def latent_weights(second_moment: Tensor, target: Tensor, rounded: Rounded, bits: int) -> Tensor:
    """Real weights of the same levels that say how sure each level is [R]; float64.

    A weight is at the value that is best for (1) while all others stay at their levels, but not
    beyond its level's range: training straight-through then moves doubtful levels first.
    [groups, d, outputs]; H needs a positive diagonal.
    """
    H, T = second_moment.double(), target.double()
    spacing, _, top = _spacing(bits)
    diagonal = H.diagonal(dim1=1, dim2=2).unsqueeze(2)
    change = (H @ (T - rounded.weight())) / (diagonal * rounded.alpha)
    room = _SURE * spacing / 2
    low = torch.where(rounded.levels <= -top, -torch.inf, -room)
    high = torch.where(rounded.levels >= top, torch.inf, room)
    return rounded.alpha * (rounded.levels + change.clamp(low, high))


ROUNDINGS: dict[str, Callable[[Tensor, Tensor, int], Rounded]] = {
    "adaround": adaround,
    "descent": descent,
    "gptq": gptq,
    "nearest": nearest,
}


def _spacing(bits: int) -> tuple[int, int, int]:
    """The levels' distance, one of them, and the highest."""
    return (1, 0, 127) if bits == 8 else (2, 1, 2**bits - 1)


def _error_terms(second_moment: Tensor, difference: Tensor) -> Tensor:
    return difference * (second_moment @ difference)


def _by_importance(H: Tensor) -> Tensor:
    """Inputs in the order of decreasing H_ii, [groups, d]."""
    return H.diagonal(dim1=1, dim2=2).argsort(dim=1, descending=True, stable=True)


def _calibrated_alpha(H: Tensor, T: Tensor, bits: int) -> Tensor:
    """The alpha with which the nearest levels have the least output error, from a grid.

    Signs do not depend on it: for them mean|t|.
    """
    if bits == 1:
        return T.abs().mean(dim=1, keepdim=True).clamp(min=_SMALLEST_ALPHA)
    largest = T.abs().amax(dim=1, keepdim=True).clamp(min=_SMALLEST_ALPHA) / _spacing(bits)[2]
    least, chosen = torch.full_like(largest, torch.inf), largest
    for part in torch.linspace(0.2, 1.1, 32).tolist():
        alpha = largest * part
        error = output_errors(H, T - alpha * nearest_levels(T / alpha, bits))
        chosen = torch.where(error < least, alpha, chosen)
        least = torch.minimum(error, least)
    return chosen


def _finished(H: Tensor, T: Tensor, levels: Tensor) -> Rounded:
    """With the best alpha; a negative one turns the levels, which leaves Q as it is."""
    alpha = optimal_alpha(H, T, levels)
    levels = torch.where(alpha < 0, -levels, levels)
    return Rounded(levels, alpha.abs().clamp(min=_SMALLEST_ALPHA))
