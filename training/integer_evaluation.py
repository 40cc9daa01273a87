"""PyTorch's own evaluation of an integer network, equal to :mod:`bitat_deploy.network.evaluate`.

Convolutions run in float32 where it holds every sum exactly, else in float64; all else is int64.
"""

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from bitat_deploy.network import (
    IMAGE,
    SATURATION,
    AveragePoolStream,
    Codes,
    Convolution,
    Format,
    GlobalSum,
    IntegerNetwork,
    Layer,
    MaxPool,
    OutputStage,
    Quantize,
    QuantizedDense,
    QuantizeStream,
    Requantize,
    RPReLU,
    rounding,
)

_EXACT_IN_FLOAT32 = 2**24


def evaluate_layers(network: IntegerNetwork, images: NDArray[np.uint8]) -> dict[str, Tensor]:
    """Every layer's output by its name, for images uint8 [N, H, W, C].

    Pixels and levels of codes are float32 [N, C, H, W], streams and bytes int64 [N, C, H, W],
    counts int64 [N, C] or [N, C, H, W], logits float32 [N, classes].
    """
    formats = network.formats()
    pixels = torch.tensor(images).permute(0, 3, 1, 2)
    values = {IMAGE: pixels.to(torch.float32)}
    with torch.no_grad():
        for layer in network.layers:
            values[layer.name] = _evaluate(layer, values, formats[layer.input])
    return values


def _evaluate(layer: Layer, values: dict[str, Tensor], source: Format) -> Tensor:
    x = values[layer.input]
    if isinstance(layer, Convolution):
        return _output(layer.output, _sums(layer, x), values)
    if isinstance(layer, QuantizeStream):
        return _output(layer.output, x, values)
    if isinstance(layer, AveragePoolStream):
        padded = functional.pad(
            x.to(torch.float32), (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate"
        )
        sums = 4 * functional.avg_pool2d(padded, 2)
        return (sums.to(torch.int64) + 2) >> 2
    if isinstance(layer, MaxPool):
        padded = functional.pad(x.to(torch.float32), (layer.padding,) * 4, value=-torch.inf)
        return functional.max_pool2d(padded, layer.kernel, layer.stride).to(x.dtype)
    if isinstance(layer, GlobalSum):
        codes = (x + source.top) / 2 if isinstance(source, Codes) and source.signed else x
        return (codes.to(torch.int64).sum(dim=(2, 3)) + rounding(layer.shift)) >> layer.shift
    assert isinstance(layer, QuantizedDense)
    sums = x @ _int64(layer.weight).T + _int64(layer.bias)
    return sums.to(torch.float32) * torch.tensor(layer.scale, dtype=torch.float32)


def _sums(layer: Convolution, x: Tensor) -> Tensor:
    """float [N, out, H', W'], integers all."""
    rows, columns = layer.paddings
    magnitude = float(x.abs().max()) * float(_int64(layer.weight).abs().sum(dim=(1, 2, 3)).max())
    kind = torch.float32 if magnitude < _EXACT_IN_FLOAT32 else torch.float64
    return functional.conv2d(
        functional.pad(x.to(kind), (columns, columns, rows, rows), value=layer.padding_level),
        torch.tensor(layer.weight, dtype=kind).permute(0, 3, 1, 2),
        stride=layer.stride,
        dilation=layer.dilation,
        groups=layer.groups,
    )


def _quantize(stage: Quantize, x: Tensor) -> Tensor:
    codes = torch.zeros(x.shape, dtype=torch.uint8)  # at most 255; bytes add up the fastest
    for threshold in stage.thresholds:
        codes += (x >= _channels(threshold).to(x.dtype)).view(torch.uint8)
    levels = codes.to(torch.float32)
    return levels.mul_(2).sub_(len(stage.thresholds)) if stage.signed else levels


def _output(stage: OutputStage, sums: Tensor, values: dict[str, Tensor]) -> Tensor:
    if isinstance(stage, Quantize):
        return _quantize(stage, sums)
    y = sums.to(torch.int64, copy=True)  # changed in place: memory is what takes the time
    if not isinstance(stage, Requantize):
        return y
    if stage.clip is not None:
        y += _channels(stage.clip.offset)
        torch.minimum(y.clamp_(min=0), _channels(stage.clip.reach), out=y)
    y *= _channels(stage.multiplier)
    y += _channels(stage.bias)
    y >>= stage.shift
    if stage.shortcut is not None:
        shortcut = values[stage.shortcut]
        for part in y.split(shortcut.shape[1], dim=1):  # repeated over the channels
            part += shortcut
    y.clamp_(*SATURATION[stage.dtype])
    return y if stage.activation is None else _activate(stage.activation, y)


def _activate(activation: RPReLU, y: Tensor) -> Tensor:
    t = y + _channels(activation.before)
    shift = activation.slope_shift
    below = (t * _channels(activation.slope) + rounding(shift)) >> shift
    return (torch.where(t < 0, below, t) + _channels(activation.after)).clamp(*SATURATION["int16"])


def _channels(vector: NDArray[np.integer]) -> Tensor:
    """One integer per channel, for [N, C, H, W]."""
    return _int64(vector)[:, None, None]


def _int64(array: NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(array.astype(np.int64))
