"""Small chains of convolutions, and BiTAT's steps on them, for tests."""

import torch
from torch import Tensor, nn

from bitat_deploy.training.bitat.block import Block
from bitat_deploy.training.bitat.convolution import BinarizedConv2d
from bitat_deploy.training.bitat.options import BitatOptions


def correlated_images(count: int, channels: int, size: int, seed: int, relu: bool = True) -> Tensor:
    """[count, channels, size, size], float64, with correlated channels."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    shape = (count, size, size, channels)
    images = torch.randn(shape, generator=generator, dtype=torch.float64) @ mixing
    images = images.permute(0, 3, 1, 2).contiguous() / channels**0.5
    return images.relu() if relu else images


def linear_layer(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> BinarizedConv2d:
    """A convolution whose inputs stay real, so that a chain of them is linear."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    layer = BinarizedConv2d(convolution.to(torch.float64))
    layer.binary_input = False
    return layer


def commit_chain(
    layers: list[BinarizedConv2d], images: Tensor, options: BitatOptions
) -> tuple[float, ...]:
    """Commit layer after layer as one block, without training; each record's error after it."""
    chain = nn.Sequential(*layers)
    block = Block(options)
    errors = []
    for index, layer in enumerate(layers):
        problem = block.prepare(layer, False, lambda: (chain(batch) for batch in images.split(16)))
        errors.append(block.commit(str(index), problem).error_after)
    return tuple(errors)
