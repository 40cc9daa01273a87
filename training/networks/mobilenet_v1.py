"""MobileNetV1 (Howard et al., arXiv 1704.04861), binarized, with one of three kinds of block.

- "chain": depthwise and 1x1 layers as in the original, an activation after each: packed codes all
  the way.
- "shortcut": the same layers, each with a shortcut around it (Bi-Real Net, arXiv 1808.00278).
- "reactnet": ReActNet-A's block (arXiv 2003.03488, figure 5): dense 3x3 where MobileNet's is
  depthwise, a shortcut around each layer, learned thresholds, RPReLU.
"""

from collections import OrderedDict

from torch import nn

from bitat_deploy.errors import InputError
from bitat_deploy.training.networks.architecture import Architecture
from bitat_deploy.training.networks.layers import CodeLayer, code_layer
from bitat_deploy.training.networks.stream import RPReLU, StreamBlock
from bitat_deploy.training.quantizers import make_activation, quantizer_of
from bitat_deploy.training.recipe_sections import NetworkRecipe, QuantizationRecipe
from bitat_deploy.training.registry import ARCHITECTURES


def _body(network: NetworkRecipe, quantization: QuantizationRecipe, channels: int) -> nn.Sequential:
    if network.block == "reactnet" and not quantization.depthwise:
        raise InputError(
            "quantization.depthwise is false, but network.block 'reactnet' has no depthwise layers"
        )
    body = nn.Sequential()
    for number, (unscaled, stride) in enumerate(network.blocks):
        name, out_channels = f"block{number}", network.scaled(unscaled)
        if network.block == "chain":
            block = _chain_block(name, channels, out_channels, stride, quantization)
        else:
            block = _stream_block(name, channels, out_channels, stride, network, quantization)
        body.add_module(name, block)
        channels = out_channels
    return body


ARCHITECTURES.add(
    "mobilenet-v1",
    Architecture(
        entries=("channels", "stride"),
        chains=("chain",),
        streams=("shortcut", "reactnet"),
        body=_body,
    ),
)


def _chain_block(
    name: str, channels: int, out_channels: int, stride: int, quantization: QuantizationRecipe
) -> nn.Sequential:
    first, second = make_activation(quantization), make_activation(quantization)
    depthwise = code_layer(
        f"{name}.depthwise",
        channels,
        channels,
        quantization,
        first,
        kernel=3,
        stride=stride,
        depthwise=True,
    )
    pointwise = code_layer(f"{name}.pointwise", channels, out_channels, quantization, second)
    return nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=pointwise))


def _stream_block(
    name: str,
    channels: int,
    out_channels: int,
    stride: int,
    network: NetworkRecipe,
    quantization: QuantizationRecipe,
) -> nn.Sequential:
    """Two layers with a shortcut around each: ReActNet's, or MobileNet's own."""
    depthwise = network.block == "shortcut"
    first = code_layer(
        f"{name}.depthwise" if depthwise else f"{name}.spatial",
        channels,
        channels,
        quantization,
        kernel=3,
        stride=stride,
        depthwise=depthwise,
    )
    second = code_layer(f"{name}.pointwise", channels, out_channels, quantization)
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        first=_around(first, channels, network, quantization),
        second=_around(second, channels, network, quantization),
    )
    return nn.Sequential(parts)


def _around(
    layer: CodeLayer,
    channels: int,
    network: NetworkRecipe,
    quantization: QuantizationRecipe,
) -> StreamBlock:
    """A shortcut around ``layer``, where its output has a multiple of its input's channels.

    ReActNet's nonlinearity is its RPReLU, so that in full precision signs become the identity.
    """
    out_channels = layer.weight.shape[0]
    reactnet = network.block == "reactnet"
    activation = make_activation(quantization, reactnet and quantizer_of(quantization).signed)
    if reactnet:
        activation.add_threshold(channels)
    elif network.normalized_stream:
        activation.add_normalization(channels)
    return StreamBlock(
        activation,
        [layer],
        shortcut=out_channels % channels == 0,
        rprelu=RPReLU(out_channels) if reactnet else None,
    )
