"""ONNX files of integer networks: functions, writer, reader, validated export, reference."""

from bitat_deploy.onnx_format.export import write_validated
from bitat_deploy.onnx_format.functions import DOMAIN, VERSION
from bitat_deploy.onnx_format.model import is_ours, load_onnx
from bitat_deploy.onnx_format.reader import read_network
from bitat_deploy.onnx_format.reference import OPTIMIZATIONS, reference_logits
from bitat_deploy.onnx_format.writer import convolution_function, to_onnx

__all__ = [
    "DOMAIN",
    "OPTIMIZATIONS",
    "VERSION",
    "convolution_function",
    "is_ours",
    "load_onnx",
    "read_network",
    "reference_logits",
    "to_onnx",
    "write_validated",
]
