"""What a layer's inputs say about the importance of its weights: H = E[x x^T].

A layer is seen as groups of independent problems, matrices W [groups, d, outputs] with one
second moment H [groups, d, d] each: a pointwise layer is one group (d = input channels), a
depthwise layer one group for each channel (d = kernel * kernel, one output).
"""

import torch
import torch.nn.functional as functional
from torch import Tensor

from bitat_deploy.training.networks.layers import BinaryLayer


def grouped_weight(layer: BinaryLayer, weight: Tensor) -> Tensor:
    """A weight of the layer's shape as [groups, d, outputs]."""
    if layer.depthwise:
        return weight.reshape(weight.shape[0], -1, 1)
    return weight.reshape(1, weight.shape[0], -1).transpose(1, 2)


def ungrouped_weight(layer: BinaryLayer, grouped: Tensor) -> Tensor:
    """Invert :func:`grouped_weight`."""
    if layer.depthwise:
        return grouped.reshape(layer.weight.shape)
    return grouped.transpose(1, 2).reshape(layer.weight.shape)


class SecondMoment:
    """Running E[x x^T] over input patches, not centred, accumulated in float64."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._count = 0

    def add(self, patches: Tensor) -> None:
        """Add patches [groups, count, d]."""
        patches = patches.to(torch.float64)
        products = patches.transpose(1, 2) @ patches
        self._total = products if self._total is None else self._total + products
        self._count += patches.shape[1]

    def mean(self) -> Tensor:
        """H, float64 [groups, d, d]."""
        assert self._total is not None, "no patches were added"
        return self._total / self._count


def patches_of(layer: BinaryLayer, inputs: Tensor) -> Tensor:
    """The im2col patches [groups, count, d] that the layer makes of its inputs [N, C, H, W]."""
    if not layer.depthwise:
        return inputs.permute(0, 2, 3, 1).reshape(1, -1, inputs.shape[1])
    kernel = layer.weight.shape[-1]
    columns = functional.unfold(layer.padded(inputs), kernel, stride=layer.stride)
    batch, _, positions = columns.shape
    columns = columns.reshape(batch, inputs.shape[1], kernel * kernel, positions)
    return columns.permute(1, 0, 3, 2).reshape(inputs.shape[1], batch * positions, -1)


def layer_second_moment(layer: BinaryLayer, inputs: list[Tensor]) -> Tensor:
    """H [groups, d, d] of a layer, from batches of its inputs [N, C, H, W]."""
    moment = SecondMoment()
    for batch in inputs:
        moment.add(patches_of(layer, batch))
    return moment.mean()


def output_error(second_moment: Tensor, difference: Tensor) -> Tensor:
    """Loss (1) [D]: E||x^T Delta||^2 = tr(Delta^T H Delta) = ||diag(s)^(1/2) V^T Delta||^2.

    ``second_moment`` [groups, d, d]; ``difference`` Delta = W - Q(W), [groups, d, outputs].
    V and s are H's eigenvectors and eigenvalues; in this first form they are not trained, so the
    trace is computed without them. Gives a scalar, summed over groups and outputs.
    """
    return (difference * (second_moment @ difference)).sum()


def relative_output_error(layer: BinaryLayer, second_moment: Tensor) -> Tensor:
    """Loss (1) over the output's own energy tr(W^T H W), so that lambda has no unit [R].

    The gradient reaches W in two ways: directly through Delta, and through the straight-through
    estimator of the sign.
    """
    weight = grouped_weight(layer, layer.weight)
    quantized = grouped_weight(layer, layer.effective_weight())
    energy = output_error(second_moment, weight).detach().clamp(min=1e-12)
    return output_error(second_moment, weight - quantized) / energy
