"""Networks of all kinds, small, with parameters as training might leave them."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from bitat_deploy.training.data import images_to_tensor
from bitat_deploy.training.networks import (
    NormalizedLayer,
    QuantizedNetwork,
    RPReLU,
    build_network,
)
from bitat_deploy.training.quantizers import Activation, WeightMode
from bitat_deploy.training.recipe import load_recipe, recipe_names
from bitat_deploy.training.recipe_sections import NetworkRecipe, QuantizationRecipe
from bitat_deploy.training.registry import ARCHITECTURES

INPUT_SHAPE = (11, 9, 3)
CLASSES = 10

V1 = NetworkRecipe("mobilenet-v1", "chain", 1.0, 9, 1, ((18, 2), (12, 1)))
V2 = NetworkRecipe("mobilenet-v2", "chain", 1.0, 8, 2, ((1, 8, 1, 1), (3, 10, 2, 2)))
REACTNET = NetworkRecipe("mobilenet-v1", "reactnet", 1.0, 9, 1, ((18, 2), (18, 1)))
SIGN = QuantizationRecipe()


@dataclass(frozen=True)
class Kind:
    """One network and its quantization, named for pytest."""

    network: NetworkRecipe
    quantization: QuantizationRecipe

    def __str__(self) -> str:
        q = self.quantization
        bits = f"{q.quantizer}-w{q.weight_bits}a{q.activation_bits}"
        marks = "-channel" * q.per_channel + "-signed" * q.signed_bottleneck
        marks += "-mixed" * bool(q.layer_bits) + "-depthwise8" * (not q.depthwise)
        marks += "-plain" * (not self.network.normalized_stream)
        return f"{self.network.architecture}-{self.network.block}-{bits}{marks}"


def uniq(
    weights: int, activations: int, per_channel: bool = False, signed: bool = False
) -> QuantizationRecipe:
    return QuantizationRecipe("uniq", weights, activations, per_channel, signed)


def of_block(recipe: NetworkRecipe, block: str) -> NetworkRecipe:
    return replace(recipe, block=block)


CHAINS = [
    Kind(V1, SIGN),
    Kind(V1, uniq(1, 1)),
    Kind(V1, uniq(2, 2, per_channel=True)),
    Kind(V1, uniq(3, 4)),
    Kind(V2, SIGN),
    Kind(V2, uniq(1, 1, signed=True)),
    Kind(V2, uniq(2, 3, signed=True)),
    Kind(V2, uniq(4, 2)),
    Kind(V1, replace(SIGN, layer_bits={"*.depthwise": 2, "block1.*": 3})),
    Kind(V2, replace(uniq(2, 2), layer_bits={"head": 4, "*.project": 1})),
]
STREAMS = [
    Kind(of_block(V1, "shortcut"), SIGN),
    Kind(of_block(V1, "shortcut"), uniq(2, 2)),
    Kind(REACTNET, SIGN),
    Kind(REACTNET, uniq(1, 1, per_channel=True)),
    Kind(of_block(V2, "shortcut"), SIGN),
    Kind(of_block(V2, "shortcut"), uniq(1, 2, signed=True)),
    Kind(of_block(V1, "shortcut"), replace(SIGN, layer_bits={"block0.depthwise": 4})),
    Kind(replace(of_block(V1, "shortcut"), normalized_stream=False), uniq(2, 2)),
    Kind(replace(of_block(V2, "shortcut"), normalized_stream=False), SIGN),
]
EIGHT_BITS = [
    Kind(V1, uniq(8, 8)),
    Kind(of_block(V2, "shortcut"), uniq(8, 8, per_channel=True, signed=True)),
    Kind(V2, uniq(8, 8, signed=True)),
    Kind(V1, uniq(8, 2)),
    Kind(V1, uniq(2, 8)),
    Kind(REACTNET, uniq(8, 8)),
    Kind(V1, replace(SIGN, depthwise=False)),
    Kind(of_block(V1, "shortcut"), replace(SIGN, layer_bits={"block0.*": 8, "block1.*": 3})),
]


def _add_those_of_recipes() -> None:
    """Architectures and blocks that only the package's recipes have, at a narrow width."""
    seen = {(kind.network.architecture, kind.network.block) for kind in CHAINS + STREAMS}
    for recipe in map(load_recipe, recipe_names()):
        network = recipe.network
        if (network.architecture, network.block) not in seen:
            seen.add((network.architecture, network.block))
            architecture = ARCHITECTURES[network.architecture]
            place = architecture.entries.index("channels")
            least = min(network.stem_channels, *(entry[place] for entry in network.blocks))
            kind = Kind(replace(network, width=8 / least), recipe.quantization)
            (CHAINS if network.block in architecture.chains else STREAMS).append(kind)


_add_those_of_recipes()


def draw_images(count: int) -> torch.Tensor:
    """uint8 [count, H, W, C]."""
    return torch.randint(0, 256, (count, *INPUT_SHAPE), dtype=torch.uint8)


def trained(kind: Kind, seed: int = 5) -> QuantizedNetwork:
    """Quantized, in evaluation mode, float64: scales of both signs and a zero, large biases."""
    torch.manual_seed(seed)
    network = build_network(kind.network, kind.quantization, INPUT_SHAPE, CLASSES)
    images = images_to_tensor(draw_images(64))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, NormalizedLayer):
                module.normalization.weight.normal_()
                module.normalization.bias.normal_()
                module.normalization.weight[0] = 0
                module.normalization.bias[0] = 0
                module.normalization.weight[1] = 1e-4  # a code that never changes
                module.normalization.momentum = None
            if isinstance(module, Activation) and module.threshold is not None:
                module.threshold.normal_()
            if isinstance(module, Activation) and module.normalization is not None:
                module.normalization.weight.normal_()
                module.constrain()  # half of them become the smallest
                module.normalization.weight[2:].add_(0.5)
                module.normalization.bias.normal_(std=0.3)
                module.normalization.momentum = None
            if isinstance(module, RPReLU):
                module.before.normal_()
                module.after.normal_()
                module.slope.uniform_(-0.2, 1.1)
        network.classifier.bias.normal_()
        network(images)
        network.calibrate([images])
        network.set_activations(binary=True)
        network.set_weights(WeightMode.BINARY)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
        network(images)
    return network.to(torch.float64).eval()
