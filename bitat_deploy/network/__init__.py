"""The network that is integer from end to end: what training hands to everything after it."""

from bitat_deploy.network.bits import pack_bits, packed_bytes, unpack_bits
from bitat_deploy.network.layers import (
    BinaryDepthwiseConv,
    BinaryPointwiseConv,
    GlobalBitCount,
    IntegerNetwork,
    Layer,
    QuantizedConv,
    QuantizedDense,
)

__all__ = [
    "BinaryDepthwiseConv",
    "BinaryPointwiseConv",
    "GlobalBitCount",
    "IntegerNetwork",
    "Layer",
    "QuantizedConv",
    "QuantizedDense",
    "pack_bits",
    "packed_bytes",
    "unpack_bits",
]
