"""Blocks around which a shortcut carries real values: on the device an int16 stream."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from bitat_deploy.training.native import rprelu
from bitat_deploy.training.networks.layers import CodeLayer
from bitat_deploy.training.networks.stream_range import StreamRange
from bitat_deploy.training.quantizers import Activation


class RPReLU(nn.Module):
    """PReLU between two learned shifts (ReActNet, arXiv 2003.03488, equation 6)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.after = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape."""
        return rprelu(values, self.before, self.slope, self.after)


class StreamBlock(nn.Module):
    """Stream in, stream out: quantize, layers, batch normalisation, plus the shortcut, RPReLU.

    ``layers``: all but the last have activations. The shortcut is the block's input: averaged 2x2
    (:func:`average_pool`) where a layer has stride 2, and repeated where the output has a multiple
    of the input's channels. Repeating makes one convolution equal to ReActNet's two parallel ones
    of which each has its own shortcut and whose outputs are concatenated.
    """

    def __init__(
        self,
        activation: Activation,
        layers: Sequence[CodeLayer],
        shortcut: bool,
        rprelu: RPReLU | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        names = (layer.name.rpartition(".")[2] for layer in layers)
        self.layers = nn.Sequential(OrderedDict(zip(names, layers, strict=True)))
        self.shortcut = shortcut
        self.stride = 2 if any(layer.stride == 2 for layer in layers) else 1
        self.rprelu = rprelu
        self.stream_range = StreamRange()

    def forward(self, stream: Tensor) -> Tensor:
        """[N, C, H, W] to [N, out, H', W']."""
        values: Tensor = self.layers(self.activation(stream))
        if self.shortcut:
            values = values + self.carried(stream, values.shape[1])
        self.stream_range.observe(values)
        if self.rprelu is not None:
            values = self.rprelu(values)
            self.stream_range.observe(values)
        return values

    def carried(self, stream: Tensor, channels: int) -> Tensor:
        """What the shortcut makes of the block's input, [N, channels, H', W']."""
        carried = average_pool(stream) if self.stride == 2 else stream
        copies = channels // carried.shape[1]
        return carried if copies == 1 else torch.cat([carried] * copies, dim=1)


def average_pool(stream: Tensor) -> Tensor:
    """2x2 average with stride 2; a last row or column without a partner counts twice."""
    odd = (0, stream.shape[3] % 2, 0, stream.shape[2] % 2)
    if any(odd):
        stream = functional.pad(stream, odd, mode="replicate")
    return functional.avg_pool2d(stream, 2)
