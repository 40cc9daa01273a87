"""A convolution of a user's network with 1-bit inputs and weights."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from bitat_deploy.training.bitat.matrices import ConvolutionMatrices
from bitat_deploy.training.native import sign_of_activation
from bitat_deploy.training.quantizers import WeightMode, binarized_weight, constrain_latent


class BinarizedConv2d(ConvolutionMatrices):
    """Takes the place of an nn.Conv2d: sign of the input against a threshold, 1-bit weights.

    Inputs [N, C, H, W] of any range become sign(x - threshold), one trainable threshold for each
    channel (ReActNet's RSign, ECCV 2020, section 4.3). ``spread`` widens the window in which the
    straight-through gradient passes to the range the inputs have. Pads with +1, as the device does.
    """

    spread: Tensor

    def __init__(self, convolution: nn.Conv2d, name: str = "") -> None:
        super().__init__()
        self.name = name
        self.weight = convolution.weight
        self.bias = convolution.bias
        self.strides = convolution.stride
        self.dilation = convolution.dilation
        self.groups = convolution.groups
        self.padding = padding_of(convolution)
        shape = (1, convolution.in_channels, 1, 1)
        self.threshold = nn.Parameter(self.weight.new_zeros(shape))
        self.register_buffer("spread", self.weight.new_ones(()))
        self.alpha = nn.Parameter(self.weight.new_ones(convolution.out_channels, 1, 1, 1))
        self.weight_mode = WeightMode.FULL
        self.binary_input = True

    def effective_weight(self) -> Tensor:
        """What this layer multiplies with now, of the shape of ``weight``."""
        if self.weight_mode is WeightMode.BINARY:
            return binarized_weight(self.weight)
        if self.weight_mode is WeightMode.COMMITTED:
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
        sums = self.sums(self.operand(inputs))
        return sums if self.bias is None else sums + self.bias.reshape(1, -1, 1, 1)

    def constrain(self) -> None:
        """:func:`constrain_latent`, where the weights' signs count."""
        if self.weight_mode is WeightMode.BINARY:
            constrain_latent(self.weight)

    def commit(self, levels: Tensor, alpha: Tensor) -> None:
        """Fix the signs, [groups, d, outputs of a group], and their scales [groups, 1, ...]."""
        with torch.no_grad():
            self.weight.copy_(self.ungrouped(levels))
            self.alpha.copy_(alpha.reshape(self.alpha.shape))
        self.weight_mode = WeightMode.COMMITTED

    def release(self, magnitude: Tensor) -> None:
        """Latent weights alpha * signs, small enough for signs to change."""
        with torch.no_grad():
            self.weight.mul_(self.alpha)

    def conclude(self) -> None:
        """What is left is alpha and signs, as after a commit."""
        weight = self.effective_weight().detach()
        alpha = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
        self.commit(self.grouped(weight / alpha).sign(), alpha)


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
