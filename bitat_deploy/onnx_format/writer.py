"""IntegerNetwork to an ONNX model: one function node per layer, weights packed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bitat_deploy import __version__
from bitat_deploy.network import (
    BinaryDepthwiseConv,
    BinaryPointwiseConv,
    GlobalBitCount,
    IntegerNetwork,
    Layer,
    QuantizedConv,
    pack_bits,
    packed_bytes,
)
from bitat_deploy.onnx_format.functions import DOMAIN, OPSET, VERSION, model_local_functions

# The oldest IR version with model-local functions that call each other and opset 20.
IR_VERSION = 9


def to_onnx(network: IntegerNetwork) -> onnx.ModelProto:
    """Write a network as an ONNX model (docs/design.md, "ONNX functions")."""
    builder = _GraphBuilder(network.input_shape)
    for layer in network.layers:
        builder.add(layer)
    graph = builder.finish(network.name)
    model = helper.make_model(
        graph,
        functions=model_local_functions(),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)],
        ir_version=IR_VERSION,
        producer_name="bitat-deploy",
        producer_version=__version__,
    )
    helper.set_model_props(
        model, {**network.metadata, "class_names": ",".join(network.class_names)}
    )
    return model


class _GraphBuilder:
    """Appends layers to a chain and keeps track of the current tensor and its shape."""

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._value_info: list[onnx.ValueInfoProto] = []
        self._current = "image"
        self._height, self._width, self._channels = input_shape
        self._input = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", *input_shape])

    def add(self, layer: Layer) -> None:
        if isinstance(layer, QuantizedConv):
            self._convolve(layer.weight.shape[1], layer.stride, layer.padding)
            self._channels = layer.weight.shape[0]
            self._node(
                "QuantizedConvThreshold",
                layer.name,
                {"weight": layer.weight, "threshold": layer.threshold},
                strides=[layer.stride] * 2,
                pads=[layer.padding] * 4,
            )
        elif isinstance(layer, BinaryDepthwiseConv):
            self._convolve(layer.weight.shape[0], layer.stride, layer.padding)
            self._node(
                "BinaryDepthwiseConvThreshold",
                layer.name,
                {"weight": pack_bits(layer.weight), "threshold": layer.threshold},
                channels=self._channels,
                strides=[layer.stride] * 2,
                pads=[layer.padding] * 4,
            )
        elif isinstance(layer, BinaryPointwiseConv):
            input_channels = self._channels
            self._channels = layer.weight.shape[0]
            self._node(
                "BinaryPointwiseConvThreshold",
                layer.name,
                {"weight": pack_bits(layer.weight), "threshold": layer.threshold},
                channels=input_channels,
            )
        elif isinstance(layer, GlobalBitCount):
            self._node("GlobalBitCount", layer.name, {}, channels=self._channels)
        else:
            self._channels = layer.weight.shape[0]
            self._node(
                "QuantizedDense",
                layer.name,
                {
                    "weight": layer.weight,
                    "bias": layer.bias,
                    "scale": np.asarray(layer.scale, np.float32),
                },
            )

    def finish(self, name: str) -> onnx.GraphProto:
        self._nodes[-1].output[0] = "logits"
        self._value_info.pop()
        output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", self._channels])
        return helper.make_graph(
            self._nodes,
            name,
            [self._input],
            [output],
            self._initializers,
            value_info=self._value_info,
        )

    def _convolve(self, kernel: int, stride: int, padding: int) -> None:
        self._height = (self._height + 2 * padding - kernel) // stride + 1
        self._width = (self._width + 2 * padding - kernel) // stride + 1

    def _node(
        self,
        function: str,
        name: str,
        constants: dict[str, NDArray[Any]],
        **attributes: int | Sequence[int],
    ) -> None:
        inputs = [self._current]
        for key, array in constants.items():
            inputs.append(f"{name}.{key}")
            self._initializers.append(numpy_helper.from_array(array, inputs[-1]))
        node = helper.make_node(
            function, inputs, [f"{name}.output"], name=name, domain=DOMAIN, **attributes
        )
        self._nodes.append(node)
        self._current = node.output[0]
        self._value_info.append(self._describe(function))

    def _describe(self, function: str) -> onnx.ValueInfoProto:
        """Type and shape of the current tensor, so that viewers show them."""
        if function in ("GlobalBitCount", "QuantizedDense"):
            integer = function == "GlobalBitCount"
            kind = TensorProto.INT32 if integer else TensorProto.FLOAT
            return helper.make_tensor_value_info(self._current, kind, ["N", self._channels])
        shape = ["N", self._height, self._width, packed_bytes(self._channels)]
        return helper.make_tensor_value_info(self._current, TensorProto.UINT8, shape)
