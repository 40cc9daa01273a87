"""Layers of mixed networks between the bytes of int8 files, with their definitions in numpy.

All read and write uint8 [1, H, W, C], whose format is Image. The bytes of int8 tensors are 128
higher. Their rounding is that of stock ONNX Runtime on x86-64, which computes the three nodes of
ONNX's QDQ form as one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network.evaluate import rescale
from bitat_deploy.network.layers import Rescale


@dataclass(frozen=True, eq=False)
class AddBytes:
    """Sum of two tensors of one shape with a scale each, as bytes with a third.

    With fma(a, b, c) = float32(a b + c), rounded once, and ratios of an input's scale to the
    output's: clip(round(fma(a - offset, ratio, fma(b - offset, other_ratio, fixed)))) + offset,
    where ``fixed`` holds the three zero points. ``offset`` is 128 where the file has int8, else 0.
    """

    name: str
    input: str
    other: str
    ratio: np.float32
    other_ratio: np.float32
    fixed: np.float32
    offset: int


@dataclass(frozen=True, eq=False)
class MapBytes:
    """A function of each byte: ``table`` uint8 [channels or 1, 256]."""

    name: str
    input: str
    table: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class AverageBytes:
    """The sum of each channel over all pixels, with an ``output`` stage: global average pooling."""

    name: str
    input: str
    output: Rescale


ByteLayer = AddBytes | MapBytes | AverageBytes


def add_bytes(layer: AddBytes, x: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The definition. Sums of products of 8 and 24 bits are exact in float64."""
    inner = _fused(other, layer.offset, layer.other_ratio, np.float64(layer.fixed))
    value = _fused(x, layer.offset, layer.ratio, inner.astype(np.float64))
    return np.asarray(np.clip(np.rint(value) + layer.offset, 0, 255).astype(np.uint8))


def _fused(
    x: NDArray[np.uint8], offset: int, ratio: np.float32, added: NDArray[np.float64] | np.float64
) -> NDArray[np.float32]:
    return ((x.astype(np.float64) - offset) * np.float64(ratio) + added).astype(np.float32)


def map_bytes(layer: MapBytes, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The definition."""
    channels = np.arange(x.shape[-1]) % len(layer.table)
    return layer.table[channels, x]


def average_bytes(layer: AverageBytes, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The definition."""
    sums = x.sum(axis=(1, 2), keepdims=True, dtype=np.int64)
    return rescale(layer.output, sums).astype(np.uint8)
