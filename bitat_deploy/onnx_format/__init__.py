"""ONNX files of integer networks: functions, writer, reader, validated export, reference.

A file computes the network's integers in standard operators, inside functions of our own domain by
which the reader recognizes layers. ``reference_logits`` are what ONNX Runtime makes of a file.
"""

from bitat_deploy.onnx_format.export import write_validated
from bitat_deploy.onnx_format.functions import DOMAIN, OPSET, VERSION, model_local_functions
from bitat_deploy.onnx_format.model import data_file, is_ours, load_onnx
from bitat_deploy.onnx_format.reader import read_network
from bitat_deploy.onnx_format.reference import OPTIMIZATIONS, reference_logits
from bitat_deploy.onnx_format.writer import IR_VERSION, convolution_function, to_onnx

__all__ = [
    "DOMAIN",
    "IR_VERSION",
    "OPSET",
    "OPTIMIZATIONS",
    "VERSION",
    "convolution_function",
    "data_file",
    "is_ours",
    "load_onnx",
    "model_local_functions",
    "read_network",
    "reference_logits",
    "to_onnx",
    "write_validated",
]
