"""Operators: the TIR of layers, the layout of their weights, and numpy references.

To add one: its file in this folder, its import and its line in ``OPERATORS``.
"""

from collections.abc import Mapping
from typing import Any

from bitat_deploy.network import ByteLayer, Format, Layer, QuantizeFloat
from bitat_deploy.operators.binary_depthwise import BinaryDepthwiseConv, DepthwiseSchedule
from bitat_deploy.operators.binary_pointwise import BinaryPointwiseConv, PointwiseSchedule
from bitat_deploy.operators.bit_serial_conv import BitSerialConv, BitSerialSchedule
from bitat_deploy.operators.bit_serial_depthwise import BitSerialDepthwiseConv
from bitat_deploy.operators.byte_addition import ByteAddition
from bitat_deploy.operators.byte_average import ByteAverage
from bitat_deploy.operators.byte_table import ByteTable
from bitat_deploy.operators.eight_bit_depthwise import EightBitDepthwiseConv
from bitat_deploy.operators.float_boundary import FloatThresholdPack
from bitat_deploy.operators.global_bit_count import GlobalBitCount
from bitat_deploy.operators.global_code_sum import GlobalCodeSum
from bitat_deploy.operators.int8_dense import Int8Dense
from bitat_deploy.operators.lookup_counts import LookupSchedule
from bitat_deploy.operators.max_pool import MaxPoolBytes, MaxPoolCodes
from bitat_deploy.operators.operator import Operator, TensorSpec
from bitat_deploy.operators.pack import ThresholdPack
from bitat_deploy.operators.quantized_conv import QuantizedConv
from bitat_deploy.operators.requantize_stream import RequantizeStream
from bitat_deploy.operators.stream_pooling import GlobalStreamSum, StreamAveragePool
from bitat_deploy.target import Target

# The most special first: the first one that computes a layer is taken.
OPERATORS: tuple[type[Operator], ...] = (
    BinaryPointwiseConv,
    BinaryDepthwiseConv,
    BitSerialDepthwiseConv,
    BitSerialConv,
    EightBitDepthwiseConv,
    QuantizedConv,
    GlobalBitCount,
    GlobalCodeSum,
    GlobalStreamSum,
    MaxPoolBytes,
    MaxPoolCodes,
    StreamAveragePool,
    ThresholdPack,
    RequantizeStream,
    FloatThresholdPack,
    ByteAddition,
    ByteTable,
    ByteAverage,
    Int8Dense,
)


def operator_for(
    layer: Layer | QuantizeFloat | ByteLayer,
    formats: Mapping[str, Format],
    target: Target,
    schedule: Any = None,
) -> Operator:
    """The operator for ``layer``; ``formats`` are those of what it reads and writes, by name."""
    for kind in OPERATORS:
        if kind.computes(layer, formats, target):
            return kind(layer, formats, target, schedule)
    raise LookupError(f"no operator computes layer '{layer.name}', a {type(layer).__name__}")


__all__ = [
    "OPERATORS",
    "BitSerialSchedule",
    "DepthwiseSchedule",
    "LookupSchedule",
    "Operator",
    "PointwiseSchedule",
    "TensorSpec",
    "operator_for",
]
