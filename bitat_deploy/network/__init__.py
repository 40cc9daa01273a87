"""The network that is integer from end to end: what training hands to everything after it."""

from bitat_deploy.network.bits import (
    pack_bits,
    pack_codes,
    packed_bytes,
    unpack_bits,
    unpack_codes,
)
from bitat_deploy.network.evaluate import evaluate
from bitat_deploy.network.formats import (
    Codes,
    Counts,
    Format,
    Image,
    Logits,
    Stream,
    rounding,
    tensor_formats,
)
from bitat_deploy.network.integer_network import IntegerNetwork
from bitat_deploy.network.layers import (
    IMAGE,
    IMAGE_WEIGHT_BITS,
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
    RPReLU,
    Sums,
)

__all__ = [
    "IMAGE",
    "IMAGE_WEIGHT_BITS",
    "AveragePoolStream",
    "Codes",
    "Convolution",
    "Counts",
    "Format",
    "GlobalSum",
    "Image",
    "IntegerNetwork",
    "Layer",
    "Logits",
    "MaxPool",
    "OutputStage",
    "Quantize",
    "QuantizeStream",
    "QuantizedDense",
    "RPReLU",
    "Requantize",
    "Stream",
    "Sums",
    "evaluate",
    "pack_bits",
    "pack_codes",
    "packed_bytes",
    "rounding",
    "tensor_formats",
    "unpack_bits",
    "unpack_codes",
]
