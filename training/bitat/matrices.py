"""What BiTAT needs to know of a convolution: its weight as matrices, its inputs as patches."""

from abc import abstractmethod
from typing import cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from bitat_deploy.training.quantizers import Constrained, WeightMode


class ConvolutionMatrices(nn.Module, Constrained):
    """A layer with a convolution of 1-bit weights, as matrices W [groups, d, outputs / groups].

    ``weight`` [outputs, C / groups, k, k] is what trains. A dense layer is one group with
    d = C k k; a depthwise one a group for each channel, d = k k.
    """

    name: str
    weight: Tensor
    weight_mode: WeightMode
    groups: int
    strides: tuple[int, ...]
    dilation: tuple[int, ...] = (1, 1)

    def operand(self, inputs: Tensor) -> Tensor:
        """What the weights meet of the layer's inputs: [N, C, H, W], not padded."""
        return inputs

    @abstractmethod
    def padded(self, operand: Tensor) -> Tensor:
        """The operand with the layer's padding."""

    @abstractmethod
    def effective_weight(self) -> Tensor:
        """What the layer multiplies with now, of the shape of ``weight``."""

    @abstractmethod
    def commit(self, levels: Tensor, alpha: Tensor) -> None:
        """Fix the levels, [groups, d, outputs of a group], and their scales [groups, 1, ...]."""

    @abstractmethod
    def release(self, magnitude: Tensor) -> None:
        """Let committed signs change again; ``magnitude`` is |weight| before the commit."""

    @abstractmethod
    def conclude(self) -> None:
        """Fix what training straight-through has left, where the layer needs that."""

    @property
    def taps(self) -> int:
        """Weights of one filter and input channel: kernel height times width."""
        return self.weight.shape[2] * self.weight.shape[3]

    def sums(self, operand: Tensor) -> Tensor:
        """The convolution by itself: [N, C, H, W] to [N, outputs, H', W']."""
        return functional.conv2d(
            self.padded(operand),
            self.effective_weight(),
            None,
            cast(tuple[int, int], self.strides),
            0,
            cast(tuple[int, int], self.dilation),
            self.groups,
        )

    def columns(self, operand: Tensor, step: int = 1) -> Tensor:
        """im2col of [N, C, H, W] at every ``step``-th output: [positions, C * taps]."""
        stride = (self.strides[0] * step, self.strides[1] * step)
        padded = self.padded(operand)
        if self.taps == 1:
            picked = padded[:, :, :: stride[0], :: stride[1]]
            return picked.permute(0, 2, 3, 1).reshape(-1, operand.shape[1])
        kernel = (self.weight.shape[2], self.weight.shape[3])
        dilation = cast(tuple[int, int], self.dilation)
        columns = functional.unfold(padded, kernel, dilation=dilation, stride=stride)
        return columns.transpose(1, 2).reshape(-1, operand.shape[1] * self.taps)

    def grouped(self, weight: Tensor) -> Tensor:
        """A weight [outputs, C / groups, k, k] as [groups, C / groups * taps, outputs / groups]."""
        return weight.reshape(self.groups, weight.shape[0] // self.groups, -1).transpose(1, 2)

    def ungrouped(self, grouped: Tensor) -> Tensor:
        """Invert :meth:`grouped`."""
        return grouped.transpose(1, 2).reshape(self.weight.shape)

    def tap_sums(self, weight: Tensor) -> Tensor:
        """A weight with the taps of each channel added, [groups, C / groups, outputs / groups]."""
        grouped = self.grouped(weight)
        return grouped.reshape(self.groups, -1, self.taps, grouped.shape[2]).sum(dim=2)

    def dense_rows(self, weight: Tensor) -> Tensor:
        """A weight as the one matrix [C * taps, outputs], 0 where groups do not meet."""
        return torch.block_diag(*self.grouped(weight))
