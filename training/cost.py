"""The cost of a network: multiply-accumulates by bits of weights and activations."""

import torch
from torch import Tensor, nn

from bitat_deploy.training.networks import BinaryLayer, CodeLayer, QuantizedNetwork
from bitat_deploy.training.quantizers import Activation


def network_cost(network: QuantizedNetwork) -> dict[str, int]:
    """Multiply-accumulates for one image, by "W1A1" and the like, and the weights' bits.

    The stem has weights and pixels of 8 bits ("W8A8"); the classifier and all else that is not
    binary count as that too.
    """
    positions: dict[nn.Module, int] = {}
    handles = [
        layer.register_forward_hook(
            lambda module, inputs, output: positions.update(
                {module: output.shape[2] * output.shape[3]}
            )
        )
        for layer in network.normalized_layers()
    ]
    height, width, channels = network.input_shape
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, channels, height, width))
    for handle in handles:
        handle.remove()
    activation_bits = next(part.bits for part in network.modules() if isinstance(part, Activation))
    cost: dict[str, int] = {"weight_bits": 0}

    def count(weight: Tensor, bits: int, name: str, times: int) -> None:
        cost[name] = cost.get(name, 0) + weight.numel() * times
        cost["weight_bits"] += weight.numel() * bits

    for layer in network.normalized_layers():
        if isinstance(layer, CodeLayer):
            bits = layer.weight_bits if isinstance(layer, BinaryLayer) else 8
            count(layer.weight, bits, f"W{bits}A{activation_bits}", positions[layer])
        else:
            weight = layer.weight
            assert isinstance(weight, Tensor)
            count(weight, 8, "W8A8", positions[layer])
    count(network.classifier.weight, 8, "W8A8", 1)
    return cost
