"""The packed layout: the one place that says which bit of which byte a channel is.

A bit 1 stands for +1, a bit 0 for -1. Bits are packed along the last axis (channels, NHWC),
eight to a byte, least significant bit first: channel ``c`` is bit ``c % 8`` of byte ``c // 8``.
Where the number of channels is no multiple of eight, the last byte's spare bits are 0, in
activations and in weights alike, so that ``xor`` of the two leaves them out of every sum.
"""

import numpy as np
from numpy.typing import NDArray


def packed_bytes(channels: int) -> int:
    """Bytes that hold ``channels`` bits."""
    return (channels + 7) // 8


def pack_bits(bits: NDArray[np.integer | np.bool_]) -> NDArray[np.uint8]:
    """Pack {0, 1} of shape [..., channels] into uint8 [..., packed_bytes(channels)]."""
    return np.packbits(bits.astype(bool), axis=-1, bitorder="little")


def unpack_bits(packed: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Invert :func:`pack_bits`: uint8 {0, 1} of shape [..., channels]."""
    return np.unpackbits(packed, axis=-1, count=channels, bitorder="little")
