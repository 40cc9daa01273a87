"""The layers that all networks are made of, as PyTorch modules (NCHW).

Each is convolution, batch normalisation, activation. Their switches let the same parameters serve
as full-precision twin, as network with binary activations, and as fully binary network. "Binary"
layers have 1 to 8 bits: 1 is what they are made for.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from bitat_deploy.training.bitat.matrices import ConvolutionMatrices
from bitat_deploy.training.native import depthwise_convolution, normalize
from bitat_deploy.training.networks.bfloat16 import narrow_convolution
from bitat_deploy.training.networks.stream_range import StreamRange
from bitat_deploy.training.quantizers import (
    Activation,
    Constrained,
    WeightMode,
    binary_sign,
    int8_weight,
    quantizer_of,
)
from bitat_deploy.training.recipe_sections import QuantizationRecipe

_LARGEST_GAMMA = 8.0  # of what writes a stream


class NormalizedLayer(nn.Module, Constrained):
    """What all convolutions share: the batch normalisation and the activation behind them.

    Without ``activation`` the normalized sums are the output, or part of a stream.
    """

    def __init__(self, channels: int, activation: Activation | None) -> None:
        super().__init__()
        self.normalization = nn.BatchNorm2d(channels)
        self.activation = activation

    def constrain(self) -> None:
        """A bounded gamma of what writes a stream.

        Whoever reads a stream normalizes it, so nothing keeps a channel from growing: on CIFAR-10
        gammas of 2 became 233 in twenty epochs of SGD. All channels share one fixed point.
        """
        if self.activation is None:
            self.normalization.weight.clamp_(-_LARGEST_GAMMA, _LARGEST_GAMMA)

    def activate(self, sums: Tensor) -> Tensor:
        """Normalise, then quantize or, in full precision, apply the nonlinearity."""
        if self.activation is None:
            return normalize(sums, self.normalization)
        return self.activation.of_normalized(sums, self.normalization)


class QuantizedStem(NormalizedLayer):
    """First convolution: image in [0, 1] (pixel / 255), 8-bit weights, pads with 0.

    Without ``activation`` it writes a stream.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, activation: Activation | None
    ) -> None:
        super().__init__(out_channels, activation)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.stride = stride
        self.padding = 1
        self.stream_range = StreamRange() if activation is None else None
        nn.init.kaiming_normal_(self.weight)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in, H, W] in [0, 1] to [N, out, H', W']."""
        weight = int8_weight(self.weight, per_channel=True)
        sums = functional.conv2d(image, weight, stride=self.stride, padding=self.padding)
        outputs = self.activate(sums)
        if self.stream_range is not None:
            self.stream_range.observe(outputs)
        return outputs


class CodeConvolution(NormalizedLayer):
    """Depthwise 3x3 or dense convolution of codes: its window, its padding and its real weights.

    ``quantization`` says with what inputs are padded. ``kernel`` is 1 or 3, for depthwise layers 3.
    With ``narrow``, dense ones train in bfloat16.
    """

    weight: Tensor
    narrow = False

    def __init__(
        self,
        name: str,
        channels: int,
        out_channels: int,
        quantization: QuantizationRecipe,
        activation: Activation | None = None,
        *,
        kernel: int = 1,
        stride: int = 1,
        depthwise: bool = False,
    ) -> None:
        super().__init__(out_channels, activation)
        self.name = name
        self.kernel, self.stride, self.depthwise = kernel, stride, depthwise
        self.groups, self.padding = channels if depthwise else 1, kernel // 2
        self.padding_value = quantizer_of(quantization).padding_value
        self.weight = nn.Parameter(
            torch.empty(out_channels, channels // self.groups, kernel, kernel)
        )
        nn.init.kaiming_normal_(self.weight)

    def convolved(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """Levels [N, C, H, W], padded to keep their size, times weights [out, C / groups, k, k]."""
        if self.depthwise and self.kernel == 3:
            return depthwise_convolution(inputs, weight, self.stride, self.padding_value)
        padding = self.padding
        if self.narrow and self.training and not self.depthwise:
            return narrow_convolution(inputs, weight, self.stride, padding, self.padding_value)
        if self.padding_value != 0 and padding:
            inputs, padding = functional.pad(inputs, (padding,) * 4, value=self.padding_value), 0
        return functional.conv2d(
            inputs, weight, stride=self.stride, padding=padding, groups=self.groups
        )


class BinaryLayer(CodeConvolution, ConvolutionMatrices):
    """Convolution of codes with weights of 1 to 8 bits.

    ``quantization`` says which levels they take. Weights of ``bits`` that its quantizer does not
    have are UniQ's, with a step for each filter.
    """

    def __init__(
        self,
        name: str,
        channels: int,
        out_channels: int,
        quantization: QuantizationRecipe,
        activation: Activation | None = None,
        *,
        bits: int | None = None,
        **window: Any,
    ) -> None:
        super().__init__(name, channels, out_channels, quantization, activation, **window)
        self.strides = (self.stride, self.stride)
        self.weight_bits = bits or quantization.weight_bits
        self.weight_mode = WeightMode.FULL
        if self.weight_bits in quantizer_of(quantization).bits:
            weights = replace(quantization, weight_bits=self.weight_bits)
        else:
            weights = QuantizationRecipe(
                "uniq", self.weight_bits, quantization.activation_bits, per_channel=True
            )
        self.quantizer = quantizer_of(weights).weight(self.weight, weights)

    def effective_weight(self) -> Tensor:
        """The weight this layer multiplies with now, of the shape of ``weight``."""
        if self.weight_mode is not WeightMode.BINARY:
            return self.weight
        quantized: Tensor = self.quantizer(self.weight)
        return quantized

    def padded(self, inputs: Tensor) -> Tensor:
        """Pad [N, C, H, W] with the quantizer's value."""
        if not self.padding:
            return inputs
        return functional.pad(inputs, (self.padding,) * 4, value=self.padding_value)

    def constrain(self) -> None:
        """As the quantizer demands, where it is in use; and the normalisation."""
        super().constrain()
        if self.weight_mode is WeightMode.BINARY:
            self.quantizer.constrain(self.weight)

    def commit(self, levels: Tensor, alpha: Tensor) -> None:
        """Replace the latent weight by alpha times odd levels, which the quantizer keeps."""
        with torch.no_grad():
            self.weight.copy_(self.ungrouped(alpha * levels))
            self.quantizer.hold(alpha.flatten())
        self.weight_mode = WeightMode.COMMITTED

    def release(self, magnitude: Tensor) -> None:
        """Latent weights again, of the magnitude that they had before the commit.

        Those that were near a change of sign still are; alpha would hold all of them equally.
        """
        with torch.no_grad():
            self.weight.copy_(binary_sign(self.weight) * magnitude)

    def conclude(self) -> None:
        """Nothing: export takes the latent weights' signs and mean|w|."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Levels [N, C, H, W] to [N, out, H', W']."""
        return self.activate(self.convolved(inputs, self.effective_weight()))


class EightBitLayer(CodeConvolution):
    """Convolution of codes whose weights stay at 8 bits."""

    weight_bits = 8

    def forward(self, inputs: Tensor) -> Tensor:
        """Levels [N, C, H, W] to [N, out, H', W']."""
        return self.activate(self.convolved(inputs, int8_weight(self.weight, per_channel=True)))


CodeLayer = BinaryLayer | EightBitLayer


def code_layer(
    name: str,
    channels: int,
    out_channels: int,
    quantization: QuantizationRecipe,
    activation: Activation | None = None,
    *,
    depthwise: bool = False,
    **window: Any,
) -> CodeLayer:
    """The layer of codes with weights of as many bits as the recipe gives one of this name."""
    where = (name, channels, out_channels, quantization, activation)
    bits = quantization.bits_of(name, depthwise)
    if bits == 8 != quantization.weight_bits:
        return EightBitLayer(*where, depthwise=depthwise, **window)
    return BinaryLayer(*where, depthwise=depthwise, bits=bits, **window)


class Classifier(nn.Module):
    """Mean of each channel's values, then a dense layer with int8 weights (one scale)."""

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
