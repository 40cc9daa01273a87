"""What an integer network computes, in plain numpy: the definition that everything else must equal.

Nothing is packed here: codes are represented by their levels. All arithmetic is in int64, so that
an overflow that the checks of :mod:`.formats` missed would show as a difference.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network.formats import Codes, Format, rounding
from bitat_deploy.network.integer_network import IntegerNetwork
from bitat_deploy.network.layers import (
    IMAGE,
    SATURATION,
    AveragePoolStream,
    Convolution,
    GlobalSum,
    Layer,
    MaxPool,
    OutputStage,
    Quantize,
    QuantizedDense,
    QuantizeStream,
    Requantize,
    Rescale,
    RPReLU,
)

Values = NDArray[Any]


def evaluate(network: IntegerNetwork, images: NDArray[np.uint8]) -> dict[str, Values]:
    """Every layer's output by its name, for images uint8 [N, H, W, C].

    Levels of codes, streams and counts are int64 [N, H, W, C] or [N, C]; logits float32
    [N, classes]. The input is included as ``IMAGE``.
    """
    formats = network.formats()
    values: dict[str, Values] = {IMAGE: images.astype(np.int64)}
    for layer in network.layers:
        values[layer.name] = _evaluate(layer, values, formats[layer.input])
    return values


def _evaluate(layer: Layer, values: dict[str, Values], source: Format) -> Values:
    x = values[layer.input]
    if isinstance(layer, Convolution):
        shortcut = getattr(layer.output, "shortcut", None)
        sums = convolution_sums(layer, x)
        return apply_output_stage(
            layer.output, sums, None if shortcut is None else values[shortcut]
        )
    if isinstance(layer, QuantizeStream):
        return apply_output_stage(layer.output, x)
    if isinstance(layer, AveragePoolStream):
        return _average_pool(x)
    if isinstance(layer, MaxPool):
        border = np.iinfo(np.int64).min
        kernels, paddings = (layer.kernel,) * 2, (layer.padding,) * 2
        return _windows(x, kernels, layer.stride, paddings, border).max(axis=(3, 4))
    if isinstance(layer, GlobalSum):
        codes = (x + source.top) // 2 if isinstance(source, Codes) and source.signed else x
        return (codes.sum(axis=(1, 2)) + rounding(layer.shift)) >> layer.shift
    assert isinstance(layer, QuantizedDense)
    sums = x @ layer.weight.astype(np.int64).T + layer.bias
    return np.asarray(sums.astype(np.float32) * layer.scale)


def quantize(stage: Quantize, x: Values) -> Values:
    """Levels of ``x`` [..., channels]."""
    codes = (x[..., None, :] >= stage.thresholds).sum(axis=-2)
    return 2 * codes - len(stage.thresholds) if stage.signed else codes


def convolution_sums(layer: Convolution, x: Values) -> Values:
    """int64 [N, H', W', out]: the sum of level * weight over window and channels of a group."""
    windows = _windows(
        x, layer.kernels, layer.stride, layer.paddings, layer.padding_level, layer.dilation
    )
    windows = windows.reshape(*windows.shape[:-1], layer.groups, -1)
    weight = layer.weight.astype(np.int64)
    weight = weight.reshape(layer.groups, -1, *weight.shape[1:])
    sums = np.einsum("nhwijgc,goijc->nhwgo", windows, weight, optimize=True)
    return sums.reshape(*sums.shape[:3], -1)


def apply_output_stage(stage: OutputStage, sums: Values, shortcut: Values | None = None) -> Values:
    """The output stage of a convolution, applied to its sums [N, H, W, out]; codes are levels."""
    if isinstance(stage, Quantize):
        return quantize(stage, sums)
    if isinstance(stage, Rescale):
        return rescale(stage, sums)
    if not isinstance(stage, Requantize):
        return sums
    if stage.clip is not None:
        sums = np.clip(sums + stage.clip.offset.astype(np.int64), 0, stage.clip.reach)
    y = (sums * stage.multiplier.astype(np.int64) + stage.bias) >> stage.shift
    if shortcut is not None:
        y = y + np.tile(shortcut, (1, 1, 1, y.shape[3] // shortcut.shape[3]))
    y = saturate(y, stage.dtype)
    return y if stage.activation is None else _activate(stage.activation, y)


def rescale(stage: Rescale, sums: Values) -> Values:
    """Bytes of ``sums`` [..., channels]."""
    real = (sums + stage.bias).astype(np.float32) * stage.multiplier
    whole = np.rint(real) + np.float32(stage.zero)
    return np.clip(whole, stage.low, stage.high).astype(np.int64)


def _activate(activation: RPReLU, y: Values) -> Values:
    t = y + activation.before
    shift = activation.slope_shift
    below = (t * activation.slope.astype(np.int64) + rounding(shift)) >> shift
    return saturate(np.where(t < 0, below, t) + activation.after)


def saturate(x: Values, dtype: str = "int16") -> Values:
    """Clip to what a Requantize to ``dtype`` gives."""
    return np.clip(x, *SATURATION[dtype])


def _average_pool(x: Values) -> Values:
    height, width = x.shape[1:3]
    x = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return (_windows(x, (2, 2), 2, (0, 0), 0).sum(axis=(3, 4)) + 2) >> 2


def _windows(
    x: Values,
    kernels: tuple[int, int],
    stride: int,
    paddings: tuple[int, int],
    border: int,
    dilation: int = 1,
) -> Values:
    """[N, H', W', kernel, kernel, C]."""
    space = ((0, 0), *((padding, padding) for padding in paddings), (0, 0))
    padded = np.pad(x, space, constant_values=border)
    reach = tuple(dilation * (kernel - 1) + 1 for kernel in kernels)
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    windows = windows[:, ::stride, ::stride, :, ::dilation, ::dilation]
    return windows.transpose(0, 1, 2, 4, 5, 3)
