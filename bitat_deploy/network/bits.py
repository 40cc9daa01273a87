"""The packed layout: the only definition of which bit of which byte a channel is.

A code of n bits is stored in n bit planes, plane 0 the least significant. Each plane's bits are
packed along the last axis (channels, NHWC), eight to a byte, least significant bit first: channel
``c`` is bit ``c % 8`` of byte ``c // 8`` of its plane. The planes of a pixel follow each other
along the same axis. If the number of channels is not a multiple of eight, the unused bits of the
last byte are 0 in every plane, in activations and in weights, so that ``xor`` of the two does not
add them to any sum.

Signs are codes of one bit: 1 means +1, 0 means -1.
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


def pack_codes(codes: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Pack 0 .. 2^bits - 1, [..., channels], into uint8 [..., bits * packed_bytes(channels)]."""
    planes = [pack_bits((codes >> plane) & 1) for plane in range(bits)]
    return np.concatenate(planes, axis=-1)


def unpack_codes(packed: NDArray[np.uint8], channels: int, bits: int) -> NDArray[np.uint8]:
    """Invert :func:`pack_codes`: uint8 codes of shape [..., channels]."""
    codes = np.zeros((*packed.shape[:-1], channels), np.uint8)
    for plane, bytes_of_plane in enumerate(np.split(packed, bits, axis=-1)):
        codes |= unpack_bits(bytes_of_plane, channels) << plane
    return codes
