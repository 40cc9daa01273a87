"""Operators: each layer's TIR, the rearrangement of its weights, and its numpy reference."""

from bitat_deploy.operators.binary_depthwise import BinaryDepthwiseConv, DepthwiseSchedule
from bitat_deploy.operators.binary_pointwise import BinaryPointwiseConv, PointwiseSchedule
from bitat_deploy.operators.bit_serial_conv import BitSerialConv, BitSerialSchedule
from bitat_deploy.operators.bit_serial_depthwise import BitSerialDepthwiseConv
from bitat_deploy.operators.global_bit_count import GlobalBitCount
from bitat_deploy.operators.global_code_sum import GlobalCodeSum
from bitat_deploy.operators.max_pool import MaxPoolCodes
from bitat_deploy.operators.operator import Operator, TensorSpec
from bitat_deploy.operators.pack import ThresholdPack
from bitat_deploy.operators.quantized_conv import QuantizedConv
from bitat_deploy.operators.quantized_dense import QuantizedDense
from bitat_deploy.operators.stream_pooling import AveragePoolStream, GlobalStreamSum
from bitat_deploy.operators.unpack import Unpack

__all__ = [
    "AveragePoolStream",
    "BinaryDepthwiseConv",
    "BinaryPointwiseConv",
    "BitSerialConv",
    "BitSerialDepthwiseConv",
    "BitSerialSchedule",
    "DepthwiseSchedule",
    "GlobalBitCount",
    "GlobalCodeSum",
    "GlobalStreamSum",
    "MaxPoolCodes",
    "Operator",
    "PointwiseSchedule",
    "QuantizedConv",
    "QuantizedDense",
    "TensorSpec",
    "ThresholdPack",
    "Unpack",
]
