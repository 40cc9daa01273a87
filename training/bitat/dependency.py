"""The dependency of a layer's weights on each other and on the layers below in its block.

A layer is ``groups`` problems of its own: one for a dense convolution, one for each channel of a
depthwise one. A problem's stack has ``q`` rows for the layers below, then the layer's own rows.
For a dense layer the lower rows are the reduced inputs of each layer below, as the paper draws
them. A depthwise layer needs only what of them arrives at its channel: one row, so that V is
10 x 10 for a channel, or 9 x 9 at the bottom of a block [R].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bitat_deploy.training.bitat.basis import CorrelationBasis
from bitat_deploy.training.bitat.matrices import ConvolutionMatrices
from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.bitat.reduction import Reduction, reduce_rows
from bitat_deploy.training.bitat.statistics import CommittedLayer, LayerStatistics
from bitat_deploy.training.rounding import output_error


def arriving_errors(below: Sequence[CommittedLayer], gains: Sequence[Tensor]) -> Tensor:
    """The upper rows of equation (3) before the last factor W^(l), [sum of m, C] [R].

    [Delta^(k+1) G W^(k+2) G ... ; ... ; Delta^(l-1) G] with each Delta reduced by P and G the
    diagonal gain behind its layer: what each layer below does to the input of layer l.
    ``gains`` [outputs] one for each layer below. Exact for chains of linear 1x1 layers, G = 1.
    """
    stacked = below[0].error[:0, :0]
    for lower, gain in zip(below, gains, strict=True):
        passed = stacked @ lower.weight if len(stacked) else lower.error[:0]
        stacked = torch.cat([passed, lower.error]) * gain
    return stacked


@dataclass(frozen=True, eq=False)
class Problem:
    """A layer with its statistics, in the rows its V sees.

    ``moment`` [groups, q + m, q + m] of the stack; ``own`` [groups, d, d] and ``cross``
    [groups, d, q] of the patches as they are; ``lower`` [groups, q, C of a group] maps the layer's
    weights (taps added up) to the upper rows of D; ``parts`` the rows of each layer in the stack.
    """

    layer: ConvolutionMatrices
    moment: Tensor
    own: Tensor
    cross: Tensor
    lower: Tensor
    parts: tuple[int, ...]
    reduction: Reduction | None

    def state(self) -> dict[str, Any]:
        """All but the layer as plain values and tensors, for a checkpoint."""
        group = None if self.reduction is None else self.reduction.group
        tensors = {name: getattr(self, name) for name in ("moment", "own", "cross", "lower")}
        return {**tensors, "parts": list(self.parts), "group": group}

    @classmethod
    def restored(cls, layer: ConvolutionMatrices, state: dict[str, Any]) -> "Problem":
        """The problem that :meth:`state` was of."""
        parts, group = tuple(state["parts"]), state["group"]
        moment, own, cross, lower = (state[key] for key in ("moment", "own", "cross", "lower"))
        reduction = None if group is None else Reduction(group, parts[-1])
        return cls(layer, moment, own, cross, lower, parts, reduction)

    def reduced(self, grouped: Tensor) -> Tensor:
        """P^T times the layer's own rows [groups, d, outputs]."""
        return grouped if self.reduction is None else self.reduction.apply(grouped)

    def lower_rows(self, weight: Tensor) -> Tensor:
        """The upper rows of D in (3), [groups, q, outputs], for a weight of the layer's shape."""
        return self.lower.to(weight.dtype) @ self.layer.tap_sums(weight)


def build_problem(
    layer: ConvolutionMatrices,
    statistics: LayerStatistics,
    below: Sequence[CommittedLayer],
    arriving: Tensor | None,
    options: BitatOptions,
) -> Problem:
    """Put a layer's statistics and ``arriving`` [q, C] (None at a block's bottom) together."""
    own, groups = statistics.own, layer.groups
    channels = layer.weight.shape[1]
    if arriving is None:
        arriving = own.new_zeros(0, groups * channels)
    arriving = arriving.to(own.dtype)
    if groups > 1:
        # Everything is linear in z, so moments of what arrives follow from those of z.
        lower = arriving.reshape(-1, groups, channels).transpose(0, 1)  # [groups, q, channels]
        cross = statistics.cross @ lower
        upper = lower.transpose(1, 2) @ statistics.lower @ lower
        identity = torch.eye(channels, dtype=own.dtype, device=own.device)
        lower = identity.expand(groups, channels, channels)
        parts: tuple[int, ...] = (channels, own.shape[1])
        if not below:
            cross, upper, lower = cross[:, :, :0], upper[:, :0, :0], lower[:, :0]
            parts = parts[1:]
        moment = _stack(upper, cross, own)
        return Problem(layer, moment, own, cross, lower, parts, None)
    rows = layer.dense_rows(layer.weight.detach())
    reduction = reduce_rows(rows, layer.taps, options.reduction, options.max_rows)
    P = reduction.matrix().to(own.device)
    moment = _stack(statistics.lower.unsqueeze(0), P.T @ statistics.cross, P.T @ own @ P)
    parts = (*(entry.reduction.count for entry in below), reduction.count)
    return Problem(layer, moment, own, statistics.cross, arriving.unsqueeze(0), parts, reduction)


class DependencyLoss(nn.Module):
    """L_dep, equation (4) [R], over the output's own energy, so that lambda has no unit.

    ||diag(s)^(1/2) V^T D||^2 with D of (3) in the rows that P leaves, plus a little of ||Delta||^2
    for what P merges away. Loss (1) is the case of a layer without others below [D].
    """

    own: Tensor
    lower: Tensor

    def __init__(self, problem: Problem, options: BitatOptions) -> None:
        super().__init__()
        self._layer = [problem.layer]  # a list: not a submodule
        self._reduced = problem.reduced
        rows = problem.parts[-1]
        own = problem.moment[:, -rows:, -rows:]
        self.basis = CorrelationBasis(
            problem.moment,
            problem.parts,
            options.rotation,
            options.off_diagonal,
            options.trained_basis,
        )
        self.register_buffer("own", own.float())
        self.register_buffer("lower", problem.lower.float())
        spread = problem.own.diagonal(dim1=1, dim2=2).mean()
        self._residual = options.residual_weight * float(spread)

    def forward(self, train_basis: bool = True) -> Tensor:
        """The loss of the layer's weights now, a scalar; V and s constant unless trained.

        The gradient reaches W directly and through the straight-through estimator; dividing by
        the energy of W itself keeps it from shrinking W.
        """
        layer = self._layer[0]
        weight = layer.weight.float()
        delta = layer.grouped(weight - layer.effective_weight().float())
        rows = self._reduced(layer.grouped(weight))
        stack = self._reduced(delta)
        if self.lower.shape[1]:
            stack = torch.cat([self.lower @ layer.tap_sums(weight), stack], dim=1)
        V, s = self.basis() if train_basis else self.basis.constant()
        loss = (s.unsqueeze(2) * (V.transpose(1, 2) @ stack).square()).sum()
        energy = output_error(self.own, rows) + self._residual * weight.square().sum()
        total: Tensor = (loss + self._residual * delta.square().sum()) / energy.clamp(min=1e-12)
        return total


def compensated_target(problem: Problem, weight: Tensor, ridge: float) -> Tensor:
    """Equation (5) [R]: W* = W + H_ll^-1 H_l< D_<, float64 [groups, d, outputs].

    What layer l is to aim at so that it makes up for the errors of the layers below, as far as
    its inputs tell them. ``weight`` of the layer's shape; ``ridge`` relative to H's mean diagonal.
    """
    weight = weight.to(torch.float64)
    grouped = problem.layer.grouped(weight)
    if not problem.cross.shape[2]:
        return grouped
    pull = problem.cross @ problem.lower_rows(weight)
    scale = problem.own.diagonal(dim1=1, dim2=2).mean(dim=1).clamp(min=1e-12)
    identity = torch.eye(grouped.shape[1], dtype=torch.float64, device=grouped.device)
    held = problem.own + ridge * scale.reshape(-1, 1, 1) * identity
    return grouped + torch.linalg.solve(held, pull)


def joint_error(problem: Problem, weight: Tensor, quantized: Tensor) -> float:
    """The layer's output error with those of the layers below, over the output's energy.

    tr(D^T H D) with the patches as they are, neither reduced nor rotated: what a commit is judged
    by. ``weight`` of the layer's shape; ``quantized`` [groups, d, outputs].
    """
    weight = weight.to(torch.float64)
    grouped = problem.layer.grouped(weight)
    delta = grouped - quantized.to(torch.float64)
    upper = problem.lower_rows(weight)
    q = upper.shape[1]
    lower = output_error(problem.moment[:, :q, :q], upper)
    between = 2 * (delta * (problem.cross @ upper)).sum()
    energy = output_error(problem.own, grouped).clamp(min=1e-12)
    return float((lower + between + output_error(problem.own, delta)) / energy)


def committed_layer(
    problem: Problem, weight: Tensor, quantized: Tensor, options: BitatOptions
) -> CommittedLayer:
    """What the layers above need of a layer now frozen; both weights of the layer's shape."""
    layer = problem.layer
    rows = layer.dense_rows(weight)
    reduction = problem.reduction
    if reduction is None:
        # Row vectors of a block-diagonal matrix have no neighbours: merge by likeness is arbitrary.
        reduction = reduce_rows(rows, layer.taps, "channels", options.max_rows)
    error = reduction.apply(rows - layer.dense_rows(quantized))
    summed = rows.reshape(-1, layer.taps, rows.shape[1]).sum(dim=1)
    return CommittedLayer(layer, reduction, error.to(torch.float64), summed.to(torch.float64))


def _stack(lower: Tensor, cross: Tensor, own: Tensor) -> Tensor:
    """The symmetric matrix [[lower, cross^T], [cross, own]]."""
    above = torch.cat([lower, cross.transpose(1, 2)], dim=2)
    return torch.cat([above, torch.cat([cross, own], dim=2)], dim=1)
