"""The network of a recipe."""

import fnmatch

import torch

from bitat_deploy.errors import InputError
from bitat_deploy.training.networks.layers import Classifier, CodeLayer, QuantizedStem
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
    layers = [part for part in body.modules() if isinstance(part, CodeLayer)]
    for pattern in quantization.layer_bits:
        if not any(fnmatch.fnmatchcase(layer.name, pattern) for layer in layers):
            names = ", ".join(layer.name for layer in layers)
            raise InputError(
                f"quantization.layer_bits: no layer has a name like '{pattern}'; they are {names}"
            )
    classifier = Classifier(layers[-1].weight.shape[0], classes)
    built = QuantizedNetwork(input_shape, stem, body, classifier)
    return built.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
