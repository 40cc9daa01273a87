"""MobileNetV1 (Howard et al., arXiv 1704.04861) as a packed chain: no shortcuts, sign after each
batch normalisation, every depthwise and pointwise layer 1-bit."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitat_deploy.training.networks.layers import (
    BinaryLayer,
    Classifier,
    QuantizedStem,
    WeightMode,
)
from bitat_deploy.training.recipe import NetworkRecipe


@dataclass(frozen=True)
class MobileNetShape:
    """Channels after scaling by the width; ``blocks`` are (output channels, stride)."""

    input_shape: tuple[int, int, int]
    stem_channels: int
    stem_stride: int
    blocks: tuple[tuple[int, int], ...]
    classes: int


class BinaryMobileNet(nn.Module):
    """Stem, blocks of depthwise and pointwise layer, classifier."""

    def __init__(self, shape: MobileNetShape) -> None:
        super().__init__()
        self.shape = shape
        self.stem = QuantizedStem(shape.input_shape[2], shape.stem_channels, shape.stem_stride)
        channels = shape.stem_channels
        self.blocks = nn.ModuleList()
        for number, (out_channels, stride) in enumerate(shape.blocks):
            block = nn.Sequential()
            block.add_module(
                "depthwise",
                BinaryLayer(
                    f"block{number}.depthwise", channels, channels, depthwise=True, stride=stride
                ),
            )
            block.add_module(
                "pointwise",
                BinaryLayer(f"block{number}.pointwise", channels, out_channels, depthwise=False),
            )
            self.blocks.append(block)
            channels = out_channels
        self.classifier = Classifier(channels, shape.classes)

    def forward(self, image: Tensor) -> Tensor:
        """Images [N, C, H, W] in [0, 1] to logits [N, classes]."""
        values = self.stem(image)
        for block in self.blocks:
            values = block(values)
        logits: Tensor = self.classifier(values)
        return logits

    def binary_layers(self) -> Iterator[BinaryLayer]:
        """All 1-bit layers, from the bottom to the top."""
        for block in self.blocks:
            for layer in block.children():
                assert isinstance(layer, BinaryLayer)
                yield layer

    def set_activations(self, binary: bool) -> None:
        """Switch every activation to sign, or back to hard tanh."""
        for layer in (self.stem, *self.binary_layers()):
            layer.binary_activation = binary

    def set_weights(self, mode: WeightMode) -> None:
        """Switch every 1-bit layer's weights at once."""
        for layer in self.binary_layers():
            layer.weight_mode = mode


def build_network(
    recipe: NetworkRecipe, input_shape: tuple[int, int, int], classes: int
) -> BinaryMobileNet:
    """The network of a recipe, freshly initialised, channels last in memory."""
    blocks = tuple((int(channels * recipe.width), stride) for channels, stride in recipe.blocks)
    stem = int(recipe.stem_channels * recipe.width)
    shape = MobileNetShape(input_shape, stem, recipe.stem_stride, blocks, classes)
    network = BinaryMobileNet(shape)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
