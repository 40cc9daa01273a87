"""What calibration images say about a layer and those below it in its block."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bitat_deploy.training.bitat.matrices import ConvolutionMatrices
from bitat_deploy.training.bitat.reduction import Reduction


@dataclass(frozen=True, eq=False)
class CommittedLayer:
    """A frozen layer as those above it see it.

    ``error`` P^T Delta [m, outputs]; ``weight`` [C, outputs], the full-precision weight with the
    taps of each channel added up: what it does to an input that varies slowly in space [R].
    """

    layer: ConvolutionMatrices
    reduction: Reduction
    error: Tensor
    weight: Tensor


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """Moments of a layer's patches x [groups, d] and of the rows z [q] of the layers below.

    ``lower`` E[z z^T] [q, q]; ``cross`` E[x z^T] [groups, d, q]; ``own`` E[x x^T] [groups, d, d]:
    second moments, or covariances where ``centred``. ``gain`` [C]: the linear gain from the
    outputs of the layer below to this one's inputs, None at the bottom of a block. All float64.
    """

    lower: Tensor
    cross: Tensor
    own: Tensor
    gain: Tensor | None
    centred: bool


def collect_statistics(
    layer: ConvolutionMatrices,
    below: Sequence[CommittedLayer],
    run: Callable[[], Iterable[Any]],
    centred: bool,
    positions: int | None = None,
) -> LayerStatistics:
    """Measure on the partly quantized network [P: "inputs of all layers of the block up to l"].

    ``run`` puts one calibration batch after the other through the network, each time the iterator
    is advanced. Positions are those of the layer's outputs; a layer below with a larger image
    gives every so many of its positions, so that all rows belong to the same place. Of each batch
    at most ``positions`` are taken, spread over its images (None: all).

    The gain between two layers is the best linear one for each channel, Cov(y, x) / Var(y)
    (Bussgang's theorem for a sign of Gaussian sums) [R]. It holds the batch normalisation and
    stands for the activation; for layers that do not feed each other it is about 0.
    """
    joint, gain = _Moments(), _Gain()
    rows: list[Tensor] = []
    previous: list[Tensor] = []
    handles = []
    for index, lower in enumerate(below):
        step = alignment([*(entry.layer for entry in below[index + 1 :]), layer])

        def lower_hook(
            module: nn.Module,
            inputs: tuple[Tensor, ...],
            lower: CommittedLayer = lower,
            step: int = step,
            last: bool = index + 1 == len(below),
        ) -> None:
            operand = lower.layer.operand(inputs[0])
            columns = some_of(lower.layer.columns(operand, step), positions)
            rows.append(lower.reduction.apply(columns.T).T)
            if last:
                previous.append(lower.layer.sums(operand))

        handles.append(lower.layer.register_forward_pre_hook(lower_hook))

    def own_hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        operand = layer.operand(inputs[0])
        columns = some_of(layer.columns(operand), positions)
        own = columns.reshape(len(columns), layer.groups, -1).transpose(0, 1)
        joint.add(torch.cat(rows, dim=1) if rows else columns[:, :0], own)
        if previous:
            gain.add(previous[-1], operand)
        rows.clear()
        previous.clear()

    handles.append(layer.register_forward_pre_hook(own_hook))
    try:
        with torch.no_grad():
            for _ in run():
                pass
    finally:
        for handle in handles:
            handle.remove()
    lower_moment, cross, own = joint.read(centred)
    return LayerStatistics(lower_moment, cross, own, gain.read() if below else None, centred)


def alignment(above: Sequence[ConvolutionMatrices]) -> int:
    """Every how many positions of a layer one output of the last of those ``above`` lies."""
    step = 1
    for layer in above:
        step *= layer.strides[0]
    return step


def some_of(columns: Tensor, positions: int | None) -> Tensor:
    """At most ``positions`` of the rows [count, width], evenly spread (None: all)."""
    if positions is None or len(columns) <= positions:
        return columns
    chosen = torch.linspace(0, len(columns) - 1, positions, dtype=torch.float64).round().long()
    return columns[chosen.to(columns.device)]


class _Moments:
    def __init__(self) -> None:
        self._count = 0
        self._sums: list[Tensor] = []

    def add(self, rows: Tensor, own: Tensor) -> None:
        """``rows`` [count, q] and ``own`` [groups, count, d] of the same positions.

        Products of a batch in the inputs' own type: sums of signs are exact in float32.
        """
        z, x = rows, own
        x_transposed = x.transpose(1, 2)
        products = [z.T @ z, x_transposed @ z, x_transposed @ x, z.sum(dim=0), x.sum(dim=1)]
        sums = [product.to(torch.float64) for product in products]
        if self._sums:
            sums = [old.add_(new) for old, new in zip(self._sums, sums, strict=True)]
        self._sums = sums
        self._count += len(z)

    def read(self, centred: bool) -> tuple[Tensor, Tensor, Tensor]:
        assert self._count, "no calibration batch reached the layer"
        lower, cross, own, z, x = (entry / self._count for entry in self._sums)
        if not centred:
            return lower, cross, own
        return (
            lower - torch.outer(z, z),
            cross - x.unsqueeze(2) * z,
            own - x.unsqueeze(2) * x.unsqueeze(1),
        )


class _Gain:
    def __init__(self) -> None:
        self._count = 0
        self._sums: Tensor | None = None

    def add(self, outputs: Tensor, inputs: Tensor) -> None:
        """Outputs of the layer below and inputs of this one, both [N, C, H, W]."""
        y, x = outputs.to(torch.float64), inputs.to(torch.float64)
        sums = torch.stack([entry.sum(dim=(0, 2, 3)) for entry in (y, x, y * x, y * y)])
        self._sums = sums if self._sums is None else self._sums + sums
        self._count += y.shape[0] * y.shape[2] * y.shape[3]

    def read(self) -> Tensor:
        assert self._sums is not None, "no calibration batch reached the layer"
        y, x, product, square = self._sums / self._count
        return (product - y * x) / (square - y * y).clamp(min=1e-12)
