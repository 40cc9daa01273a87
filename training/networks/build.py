"""The network of a recipe."""

import torch

from bitat_deploy.training.networks.layers import BinaryLayer, Classifier, QuantizedStem
from bitat_deploy.training.networks.network import QuantizedNetwork
from bitat_deploy.training.quantizers import make_activation
from bitat_deploy.training.recipe_sections import NetworkRecipe, QuantizationRecipe
from bitat_deploy.training.registry import ARCHITECTURES


def build_network(
    network: NetworkRecipe,
    quantization: QuantizationRecipe,
    input_shape: tuple[int, int, int],
    classes: int,
) -> QuantizedNetwork:
    """The network of a recipe, freshly initialised, in full precision, channels last in memory.

    ``input_shape`` (height, width, channels) of the images. Channels are multiplied by the width
    and rounded down. Raises InputError where ``network`` and ``quantization`` contradict each
    other.
    """
    architecture = ARCHITECTURES[network.architecture]
    channels = network.scaled(network.stem_channels)
    activation = make_activation(quantization) if network.block in architecture.chains else None
    stem = QuantizedStem(input_shape[2], channels, network.stem_stride, activation)
    body = architecture.body(network, quantization, channels)
    last = [part for part in body.modules() if isinstance(part, BinaryLayer)][-1]
    classifier = Classifier(last.weight.shape[0], classes)
    built = QuantizedNetwork(input_shape, stem, body, classifier)
    return built.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
