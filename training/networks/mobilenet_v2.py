"""MobileNetV2 (Sandler et al., arXiv 1801.04381), binarized: inverted residual blocks.

- "chain": the bottlenecks' outputs are quantized like all else, and there are no shortcuts.
- "shortcut": the bottlenecks' outputs are a stream, with MobileNetV2's own shortcuts (between
  blocks of stride 1 and as many channels); within a block all is packed codes.

What a linear bottleneck gives has no ReLU behind it, so its activations may be signed.
"""

from collections import OrderedDict

from torch import nn

from bitat_deploy.training.networks.architecture import Architecture
from bitat_deploy.training.networks.layers import CodeLayer, code_layer
from bitat_deploy.training.networks.stream import StreamBlock
from bitat_deploy.training.quantizers import make_activation
from bitat_deploy.training.recipe_sections import NetworkRecipe, QuantizationRecipe
from bitat_deploy.training.registry import ARCHITECTURES

_HEAD_FACTOR = 4  # the last 1x1 layer's channels over the last block's: 1280 / 320


def _body(network: NetworkRecipe, quantization: QuantizationRecipe, channels: int) -> nn.Sequential:
    """The last layer, "head", is 1x1 with _HEAD_FACTOR times the last block's channels, at every
    width.
    """
    shortcuts = network.block == "shortcut"
    body = nn.Sequential()
    entry = make_activation(quantization)  # behind the stem there is a nonlinearity
    normalized = shortcuts and network.normalized_stream
    if normalized:
        entry.add_normalization(channels)
    number = 0
    for expansion, unscaled, repeats, first_stride in network.blocks:
        out_channels = network.scaled(unscaled)
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            name = f"block{number}"
            bottleneck = make_activation(quantization, linear=True)
            if normalized:
                bottleneck.add_normalization(out_channels)
            layers = _layers(
                name, channels, out_channels, expansion, stride, quantization, not shortcuts
            )
            if shortcuts:
                residual = stride == 1 and channels == out_channels
                body.add_module(name, StreamBlock(entry, layers, residual))
            else:
                body.add_module(name, _named(layers))
            entry = bottleneck
            channels = out_channels
            number += 1
    if shortcuts:
        body.add_module("bottleneck", entry)
    width, activation = _HEAD_FACTOR * channels, make_activation(quantization)
    head = code_layer("head", channels, width, quantization, activation)
    body.add_module("head", head)
    return body


ARCHITECTURES.add(
    "mobilenet-v2",
    Architecture(
        entries=("expansion", "channels", "repeats", "stride"),
        chains=("chain",),
        streams=("shortcut",),
        body=_body,
        linear_bottlenecks=True,
    ),
)


def _layers(
    name: str,
    channels: int,
    out_channels: int,
    expansion: int,
    stride: int,
    quantization: QuantizationRecipe,
    chain: bool,
) -> list[CodeLayer]:
    """Expand (where ``expansion`` is above 1), depthwise, project."""
    hidden = expansion * channels
    layers: list[CodeLayer] = []
    if expansion > 1:
        activation = make_activation(quantization)
        layers.append(code_layer(f"{name}.expand", channels, hidden, quantization, activation))
    activation = make_activation(quantization)
    where = (f"{name}.depthwise", hidden, hidden, quantization, activation)
    layers.append(code_layer(*where, kernel=3, stride=stride, depthwise=True))
    bottleneck = make_activation(quantization, linear=True) if chain else None
    layers.append(code_layer(f"{name}.project", hidden, out_channels, quantization, bottleneck))
    return layers


def _named(layers: list[CodeLayer]) -> nn.Sequential:
    return nn.Sequential(OrderedDict((layer.name.rpartition(".")[2], layer) for layer in layers))
