"""MobileNetV1 (Howard et al., arXiv 1704.04861), binarized, with one of three kinds of block.

- "chain": depthwise and 1x1 layers as in the original, an activation after each: packed codes all
  the way.
- "shortcut": the same layers, each with a shortcut around it (Bi-Real Net, arXiv 1808.00278).
- "reactnet": ReActNet-A's block (arXiv 2003.03488, figure 5): dense 3x3 where MobileNet's is
  depthwise, a shortcut around each layer, learned thresholds, RPReLU.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from bitat_deploy.errors import InputError
from bitat_deploy.training.networks.architecture import Architecture
from bitat_deploy.training.networks.layers import BinaryLayer, EightBitDepthwise
from bitat_deploy.training.networks.stream import RPReLU, StreamBlock
from bitat_deploy.training.quantizers import Activation, make_activation, quantizer_of
from bitat_deploy.training.recipe_sections import NetworkRecipe, QuantizationRecipe
from bitat_deploy.training.registry import ARCHITECTURES

Blocks = Sequence[tuple[int, int]]


def _body(network: NetworkRecipe, quantization: QuantizationRecipe, channels: int) -> nn.Sequential:
    blocks = [(network.scaled(out_channels), stride) for out_channels, stride in network.blocks]
    if network.block == "chain":
        return _chain_body(channels, blocks, quantization)
    reactnet = network.block == "reactnet"
    if reactnet and not quantization.depthwise:
        raise InputError(
            "quantization.depthwise is false, but network.block 'reactnet' has no depthwise layers"
        )
    return _stream_body(channels, blocks, quantization, reactnet)


ARCHITECTURES.add(
    "mobilenet-v1",
    Architecture(
        entries=("channels", "stride"),
        chains=("chain",),
        streams=("shortcut", "reactnet"),
        body=_body,
    ),
)


def _chain_body(channels: int, blocks: Blocks, quantization: QuantizationRecipe) -> nn.Sequential:
    """``blocks`` are (output channels, stride); ``channels`` are the stem's."""
    body = nn.Sequential()
    for number, (out_channels, stride) in enumerate(blocks):
        name = f"block{number}"
        depthwise = depthwise_layer(
            f"{name}.depthwise", channels, stride, quantization, make_activation(quantization)
        )
        pointwise = BinaryLayer(
            f"{name}.pointwise",
            channels,
            out_channels,
            depthwise=False,
            quantization=quantization,
            activation=make_activation(quantization),
        )
        body.add_module(name, nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=pointwise)))
        channels = out_channels
    return body


def _stream_body(
    channels: int, blocks: Blocks, quantization: QuantizationRecipe, reactnet: bool
) -> nn.Sequential:
    """The body with shortcuts: ReActNet's, or of depthwise layers."""
    body = nn.Sequential()
    for number, (out_channels, stride) in enumerate(blocks):
        name = f"block{number}"
        first: BinaryLayer | EightBitDepthwise
        if reactnet:
            first = BinaryLayer(
                f"{name}.spatial",
                channels,
                channels,
                depthwise=False,
                stride=stride,
                kernel=3,
                quantization=quantization,
            )
        else:
            first = depthwise_layer(f"{name}.depthwise", channels, stride, quantization, None)
        second = BinaryLayer(
            f"{name}.pointwise", channels, out_channels, depthwise=False, quantization=quantization
        )
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            first=_around(first, channels, quantization, reactnet),
            second=_around(second, channels, quantization, reactnet),
        )
        body.add_module(name, nn.Sequential(parts))
        channels = out_channels
    return body


def depthwise_layer(
    name: str,
    channels: int,
    stride: int,
    quantization: QuantizationRecipe,
    activation: Activation | None,
) -> BinaryLayer | EightBitDepthwise:
    """Binary depthwise layer or, where the recipe leaves it so, one with 8-bit weights."""
    if not quantization.depthwise:
        border = quantizer_of(quantization).padding_value
        return EightBitDepthwise(name, channels, stride, border, activation)
    return BinaryLayer(
        name,
        channels,
        channels,
        depthwise=True,
        stride=stride,
        quantization=quantization,
        activation=activation,
    )


def _around(
    layer: BinaryLayer | EightBitDepthwise,
    channels: int,
    quantization: QuantizationRecipe,
    reactnet: bool,
) -> StreamBlock:
    """A shortcut around ``layer``, where its output has a multiple of its input's channels.

    ReActNet's nonlinearity is its RPReLU, so that in full precision signs become the identity.
    """
    out_channels = layer.weight.shape[0]
    linear = reactnet and quantizer_of(quantization).signed
    return StreamBlock(
        make_activation(quantization, linear, channels if reactnet else None),
        [layer],
        shortcut=out_channels % channels == 0,
        rprelu=RPReLU(out_channels) if reactnet else None,
    )
