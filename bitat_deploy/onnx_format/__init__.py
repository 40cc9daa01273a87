"""ONNX files of integer networks: functions, writer, reader, validated export, reference."""

from bitat_deploy.onnx_format.export import export_checkpoint, write_validated
from bitat_deploy.onnx_format.functions import DOMAIN, VERSION
from bitat_deploy.onnx_format.reader import read_network
from bitat_deploy.onnx_format.reference import reference_logits
from bitat_deploy.onnx_format.writer import to_onnx

__all__ = [
    "DOMAIN",
    "VERSION",
    "export_checkpoint",
    "read_network",
    "reference_logits",
    "to_onnx",
    "write_validated",
]
