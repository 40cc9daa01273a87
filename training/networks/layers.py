"""The three kinds of layer of a packed chain, as PyTorch modules (NCHW).

Each layer is convolution, batch normalisation, sign. Its switches let the same parameters serve
as full-precision twin, as network with binary activations, and as fully binary network.
"""

from enum import Enum

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from bitat_deploy.training.native import depthwise_convolution, normalize_and_sign
from bitat_deploy.training.quantizers import binarized_weight, int8_weight


class WeightMode(Enum):
    """What a binary layer multiplies with."""

    FULL = "full"  # the latent weights
    BINARY = "binary"  # alpha * sign(latent), straight-through gradient
    COMMITTED = "committed"  # the stored weight is alpha * signs already; no gradient


class NormalizedLayer(nn.Module):
    """What all convolutions share: the batch normalisation and the activation behind them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.normalization = nn.BatchNorm2d(channels)
        self.binary_activation = False

    def activate(self, sums: Tensor) -> Tensor:
        """Normalise, then sign or, in full precision, hard tanh: both stay within [-1, 1]."""
        if self.binary_activation:
            return normalize_and_sign(sums, self.normalization)
        return functional.hardtanh(self.normalization(sums))


class QuantizedStem(NormalizedLayer):
    """First convolution: image in [0, 1] (pixel / 255), 8-bit weights, pads with 0."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(out_channels)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.stride = stride
        self.padding = 1
        nn.init.kaiming_normal_(self.weight)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in, H, W] in [0, 1] to [N, out, H', W'] in [-1, 1]."""
        weight = int8_weight(self.weight, per_channel=True)
        sums = functional.conv2d(image, weight, stride=self.stride, padding=self.padding)
        return self.activate(sums)


class BinaryLayer(NormalizedLayer):
    """Depthwise 3x3 (pads with +1) or pointwise 1x1 convolution with 1-bit weights."""

    def __init__(
        self, name: str, channels: int, out_channels: int, depthwise: bool, stride: int = 1
    ) -> None:
        super().__init__(out_channels)
        shape = (channels, 1, 3, 3) if depthwise else (out_channels, channels, 1, 1)
        self.name = name
        self.depthwise = depthwise
        self.stride = stride
        self.padding = 1 if depthwise else 0
        self.weight = nn.Parameter(torch.empty(shape))
        self.weight_mode = WeightMode.FULL
        nn.init.kaiming_normal_(self.weight)

    def effective_weight(self) -> Tensor:
        """The weight this layer multiplies with now, of the shape of ``weight``."""
        if self.weight_mode is WeightMode.BINARY:
            return binarized_weight(self.weight)
        return self.weight

    def padded(self, inputs: Tensor) -> Tensor:
        """Pad [N, C, H, W] with +1, the value of bit 1."""
        if not self.padding:
            return inputs
        return functional.pad(inputs, (self.padding,) * 4, value=1.0)

    def forward(self, inputs: Tensor) -> Tensor:
        """[N, C, H, W] in [-1, 1] to [N, out, H', W'] in [-1, 1]."""
        weight = self.effective_weight()
        if self.depthwise:
            return self.activate(depthwise_convolution(inputs, weight, self.stride))
        return self.activate(functional.conv2d(inputs, weight, stride=self.stride))


class Classifier(nn.Module):
    """Mean of each channel's +1 and -1, then a dense layer with int8 weights (one scale)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, channels))
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.normal_(self.weight, std=channels**-0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        """[N, C, H, W] to logits [N, classes]."""
        positions = inputs.shape[2] * inputs.shape[3]
        pooled = inputs.sum(dim=(2, 3)) / positions
        return functional.linear(pooled, int8_weight(self.weight, per_channel=False), self.bias)
