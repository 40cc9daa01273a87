"""Reads any ONNX file: our own as it is, others as our layers plus float32 for the rest.

``load_network`` is the entry point. The compiler walks the float32 part of a MixedNetwork with
``float_layers`` and the functions that take a FloatLayer.
"""

from bitat_deploy.foreign.check import ImportMismatchError
from bitat_deploy.foreign.float_layers import (
    FloatLayer,
    describe_float_layer,
    float_layer_macs,
    float_layers,
    float_model,
    single_layer,
)
from bitat_deploy.foreign.graph import Graph
from bitat_deploy.foreign.graph import describe as describe_node
from bitat_deploy.foreign.importing import import_foreign, load_network
from bitat_deploy.foreign.mixed_network import MixedNetwork
from bitat_deploy.foreign.preprocessing import USUAL

__all__ = [
    "USUAL",
    "FloatLayer",
    "Graph",
    "ImportMismatchError",
    "MixedNetwork",
    "describe_float_layer",
    "describe_node",
    "float_layer_macs",
    "float_layers",
    "float_model",
    "import_foreign",
    "load_network",
    "single_layer",
]
