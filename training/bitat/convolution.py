"""A convolution of a user's network with 1-bit inputs and weights, and its weight as matrices."""

from enum import Enum

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from bitat_deploy.training.quantizers import binarized_weight, sign_of_activation


class ConvolutionMode(Enum):
    """What a binarized convolution multiplies with."""

    FULL = "full"  # the latent weights
    BINARY = "binary"  # mean|w| * sign(latent), straight-through gradient
    COMMITTED = "committed"  # alpha * signs, where only alpha may train


class BinarizedConv2d(nn.Module):
    """Takes the place of an nn.Conv2d: sign of the input against a threshold, 1-bit weights.

    Inputs [N, C, H, W] of any range become sign(x - threshold), one trainable threshold for each
    channel (ReActNet's RSign, ECCV 2020, section 4.3). ``spread`` widens the window in which the
    straight-through gradient passes to the range the inputs have. Pads with +1, as the device does.
    """

    spread: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = convolution.weight
        self.bias = convolution.bias
        self.stride = convolution.stride
        self.dilation = convolution.dilation
        self.groups = convolution.groups
        self.padding = padding_of(convolution)
        shape = (1, convolution.in_channels, 1, 1)
        self.threshold = nn.Parameter(self.weight.new_zeros(shape))
        self.register_buffer("spread", self.weight.new_ones(()))
        self.alpha = nn.Parameter(self.weight.new_ones(convolution.out_channels, 1, 1, 1))
        self.mode = ConvolutionMode.FULL
        self.binary_input = True

    @property
    def taps(self) -> int:
        """Weights of one filter and input channel: kernel height times width."""
        return self.weight.shape[2] * self.weight.shape[3]

    def effective_weight(self) -> Tensor:
        """What this layer multiplies with now, of the shape of ``weight``."""
        if self.mode is ConvolutionMode.BINARY:
            return binarized_weight(self.weight)
        if self.mode is ConvolutionMode.COMMITTED:
            return self.alpha * self.weight
        return self.weight

    def operand(self, inputs: Tensor) -> Tensor:
        """What the weights meet: the input's signs, [N, C, H, W], not padded."""
        if not self.binary_input:
            return inputs
        return sign_of_activation((inputs - self.threshold) / self.spread)

    def padded(self, operand: Tensor) -> Tensor:
        """Pad with +1; inputs that are not binary with 0."""
        if not any(self.padding):
            return operand
        return functional.pad(operand, self.padding, value=1.0 if self.binary_input else 0.0)

    def forward(self, inputs: Tensor) -> Tensor:
        """[N, C, H, W] to [N, outputs, H', W']."""
        return functional.conv2d(
            self.padded(self.operand(inputs)),
            self.effective_weight(),
            self.bias,
            self.stride,
            0,
            self.dilation,
            self.groups,
        )

    def columns(self, operand: Tensor, step: int = 1) -> Tensor:
        """im2col of [N, C, H, W] at every ``step``-th output: [positions, C * taps]."""
        stride = (self.stride[0] * step, self.stride[1] * step)
        padded = self.padded(operand)
        if self.taps == 1:
            picked = padded[:, :, :: stride[0], :: stride[1]]
            return picked.permute(0, 2, 3, 1).reshape(-1, operand.shape[1])
        kernel = (self.weight.shape[2], self.weight.shape[3])
        columns = functional.unfold(padded, kernel, dilation=self.dilation, stride=stride)
        return columns.transpose(1, 2).reshape(-1, operand.shape[1] * self.taps)

    def commit(self, signs: Tensor, alpha: Tensor) -> None:
        """Fix the signs, [groups, d, outputs of a group], and their scales [groups, 1, ...]."""
        with torch.no_grad():
            self.weight.copy_(self.ungrouped(signs))
            self.alpha.copy_(alpha.reshape(self.alpha.shape))
        self.mode = ConvolutionMode.COMMITTED

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


def padding_of(convolution: nn.Conv2d) -> tuple[int, int, int, int]:
    """Left, right, top, bottom, also for padding="same" and "valid"."""
    if convolution.padding == "same":
        reach = [
            dilation * (size - 1)
            for dilation, size in zip(convolution.dilation, convolution.kernel_size, strict=True)
        ]
        (top, left) = (reach[0] // 2, reach[1] // 2)
        return (left, reach[1] - left, top, reach[0] - top)
    if isinstance(convolution.padding, str):  # "valid"
        return (0, 0, 0, 0)
    height, width = convolution.padding
    return (width, width, height, height)
