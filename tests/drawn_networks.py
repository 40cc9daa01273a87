"""Random integer networks, and what they answer in plain numpy: -1/+1 arithmetic, no packing."""

from typing import Any

import numpy as np

from bitat_deploy.network import (
    BinaryDepthwiseConv,
    BinaryPointwiseConv,
    GlobalBitCount,
    IntegerNetwork,
    Layer,
    QuantizedConv,
    QuantizedDense,
)


def draw_network(
    seed: int,
    input_shape: tuple[int, int, int] = (11, 9, 3),
    stem: tuple[int, int] = (9, 1),
    blocks: tuple[tuple[int, int], ...] = ((17, 2), (40, 1)),
    classes: int = 10,
) -> IntegerNetwork:
    """Random weights; ``stem`` and ``blocks`` are (output channels, stride)."""
    random = np.random.default_rng(seed)
    channels, stride = stem
    size = (channels, 3, 3, input_shape[2])
    layers: list[Layer] = [
        QuantizedConv(
            name="stem",
            weight=random.integers(-127, 128, size, dtype=np.int8),
            threshold=random.integers(-20000, 20000, channels, dtype=np.int32),
            stride=stride,
            padding=1,
        )
    ]
    for index, (out, stride) in enumerate(blocks):
        layers.append(
            BinaryDepthwiseConv(
                name=f"block{index}.depthwise",
                weight=random.integers(0, 2, (3, 3, channels), dtype=np.uint8),
                threshold=random.integers(-4, 5, channels, dtype=np.int32),
                stride=stride,
                padding=1,
            )
        )
        layers.append(
            BinaryPointwiseConv(
                name=f"block{index}.pointwise",
                weight=random.integers(0, 2, (out, channels), dtype=np.uint8),
                threshold=random.integers(-5, 6, out, dtype=np.int32),
            )
        )
        channels = out
    layers.append(GlobalBitCount("pool"))
    layers.append(
        QuantizedDense(
            name="classifier",
            weight=random.integers(-127, 128, (classes, channels), dtype=np.int8),
            bias=random.integers(-1000, 1000, classes, dtype=np.int32),
            scale=np.float32(0.0123),
        )
    )
    names = tuple(f"class {index}" for index in range(classes))
    return IntegerNetwork("drawn", input_shape, tuple(layers), names, {"seed": str(seed)})


def draw_images(network: IntegerNetwork, count: int, seed: int = 0) -> np.ndarray:
    """Random uint8 images [count, H, W, C]."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, *network.input_shape), dtype=np.uint8)


def numpy_logits(network: IntegerNetwork, images: np.ndarray) -> np.ndarray:
    """float32 [N, classes], computed on arrays of -1 and +1."""
    x: Any = images.astype(np.int64)
    for layer in network.layers:
        if isinstance(layer, QuantizedConv):
            weight = layer.weight.astype(np.int64)
            patches = _patches(x, weight.shape[1], layer.stride, layer.padding, border=0)
            x = _sign(np.einsum("nhwijc,oijc->nhwo", patches, weight) >= layer.threshold)
        elif isinstance(layer, BinaryDepthwiseConv):
            patches = _patches(x, layer.weight.shape[0], layer.stride, layer.padding, border=1)
            weight = 2 * layer.weight.astype(np.int64) - 1
            x = _sign(np.einsum("nhwijc,ijc->nhwc", patches, weight) >= layer.threshold)
        elif isinstance(layer, BinaryPointwiseConv):
            x = _sign(x @ (2 * layer.weight.astype(np.int64) - 1).T >= layer.threshold)
        elif isinstance(layer, GlobalBitCount):
            x = (x > 0).sum(axis=(1, 2))
        else:
            sums = x @ layer.weight.astype(np.int64).T + layer.bias
            x = sums.astype(np.float32) * layer.scale
    return np.asarray(x)


def _patches(x: np.ndarray, kernel: int, stride: int, padding: int, border: int) -> np.ndarray:
    """[N, H', W', kernel, kernel, C]."""
    space = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = np.pad(x, space, constant_values=border)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    return windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)


def _sign(positive: np.ndarray) -> np.ndarray:
    return 2 * positive.astype(np.int64) - 1
