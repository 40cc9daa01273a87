"""The network of a recipe."""

import torch
from torch import nn

from bitat_deploy.errors import InputError
from bitat_deploy.training.networks.activations import make_activation
from bitat_deploy.training.networks.layers import Classifier, QuantizedStem
from bitat_deploy.training.networks.mobilenet_v1 import chain_body, stream_body
from bitat_deploy.training.networks.mobilenet_v2 import HEAD_FACTOR, inverted_residual_body
from bitat_deploy.training.networks.network import QuantizedNetwork
from bitat_deploy.training.recipe_sections import NetworkRecipe, QuantizationRecipe


def build_network(
    network: NetworkRecipe,
    quantization: QuantizationRecipe,
    input_shape: tuple[int, int, int],
    classes: int,
) -> QuantizedNetwork:
    """The network of a recipe, freshly initialised, in full precision, channels last in memory.

    ``input_shape`` (height, width, channels) of the images. Channels are multiplied by the width
    and rounded down. Raises InputError where ``network`` and
    ``quantization`` contradict each other.
    """
    _check(network, quantization)
    stem_channels = scaled(network, network.stem_channels)
    shortcuts = network.block != "chain"
    stem_activation = None if shortcuts else make_activation(quantization)
    stem = QuantizedStem(input_shape[2], stem_channels, network.stem_stride, stem_activation)
    body, features = _BODIES[network.architecture](network, quantization, stem_channels)
    built = QuantizedNetwork(input_shape, stem, body, Classifier(features, classes))
    return built.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _mobilenet_v1(
    network: NetworkRecipe, quantization: QuantizationRecipe, stem_channels: int
) -> tuple[nn.Sequential, int]:
    blocks = [(scaled(network, channels), stride) for channels, stride in network.blocks]
    if network.block == "chain":
        body = chain_body(stem_channels, blocks, quantization)
    else:
        body = stream_body(stem_channels, blocks, quantization, network.block == "reactnet")
    return body, blocks[-1][0]


def _mobilenet_v2(
    network: NetworkRecipe, quantization: QuantizationRecipe, stem_channels: int
) -> tuple[nn.Sequential, int]:
    blocks = [
        (expansion, scaled(network, channels), repeats, stride)
        for expansion, channels, repeats, stride in network.blocks
    ]
    shortcuts = network.block == "shortcut"
    body = inverted_residual_body(stem_channels, blocks, quantization, shortcuts)
    return body, HEAD_FACTOR * blocks[-1][1]


# Of each architecture: its body, and how many channels that gives to the classifier.
_BODIES = {"mobilenet-v1": _mobilenet_v1, "mobilenet-v2": _mobilenet_v2}


def scaled(network: NetworkRecipe, channels: int) -> int:
    """Channels at the recipe's width."""
    return int(channels * network.width)


def _check(network: NetworkRecipe, quantization: QuantizationRecipe) -> None:
    """Raise InputError where the two do not go together; each has checked itself."""
    if network.block == "reactnet" and not quantization.depthwise:
        raise InputError(
            "quantization.depthwise is false, but network.block 'reactnet' has no depthwise layers"
        )
