"""IntegerNetwork to an ONNX model: a function node per step, weights packed.

A convolution is one node for its sums and further nodes for its output stage; :mod:`.reader` joins
them again.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bitat_deploy.network import (
    IMAGE,
    MAX_BITS,
    AveragePoolStream,
    Bytes,
    Codes,
    Convolution,
    Counts,
    Format,
    GlobalSum,
    Image,
    IntegerNetwork,
    Layer,
    Logits,
    MaxPool,
    Quantize,
    QuantizedDense,
    QuantizeStream,
    Requantize,
    RPReLU,
    Stream,
    class_names_to_text,
    pack_codes,
    packed_bytes,
)
from bitat_deploy.onnx_format.functions import DOMAIN, OPSET, VERSION, model_local_functions
from bitat_deploy.version import __version__

# The oldest IR version with model-local functions that call each other and opset 20.
IR_VERSION = 9

Attribute = int | Sequence[int]
_SATURATE = {"int16": "Saturate", "uint8": "SaturateUint8", "int8": "SaturateInt8"}
_ELEMENTS = {
    "int16": TensorProto.INT16,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
}


def to_onnx(network: IntegerNetwork) -> onnx.ModelProto:
    """Write a network as an ONNX model (docs/format.md, "ONNX functions")."""
    model = helper.make_model(
        _GraphBuilder(network).graph(),
        functions=model_local_functions(),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)],
        ir_version=IR_VERSION,
        producer_name="bitat-deploy",
        producer_version=__version__,
    )
    recorded = {"class_names": class_names_to_text(network.class_names)}
    recorded |= network.preprocessing.in_metadata()
    helper.set_model_props(model, network.metadata | recorded)
    return model


def pack_weight(layer: Convolution) -> NDArray[np.uint8]:
    """Levels to packed codes [out, k, k, bytes], of depthwise convolutions [k, k, bytes]."""
    codes = (layer.weight.astype(np.int64) + 2**layer.weight_bits - 1) // 2
    if layer.depthwise:
        codes = codes[..., 0].transpose(1, 2, 0)
    return pack_codes(codes, layer.weight_bits)


def convolution_function(
    layer: Convolution, source: Format
) -> tuple[str, dict[str, Attribute], NDArray[Any]]:
    """Name, attributes and weights of the function that computes the sums of a convolution."""
    attributes: dict[str, Attribute] = {
        "strides": [layer.stride] * 2,
        "pads": [*layer.paddings] * 2,
        "dilations": [layer.dilation] * 2,
    }
    if not isinstance(source, Codes):
        if layer.padding_level:
            raise ValueError("bytes are padded with 0; pad them before the convolution")
        function = "ImageConv"
        if isinstance(source, Bytes) and (source.signed or layer.depthwise):
            function = "ByteDepthwiseConv" if layer.depthwise else "SignedByteConv"
        return function, attributes | {"group": layer.groups}, layer.weight
    attributes |= {
        "channels": source.shape[2],
        "bits": source.bits,
        "signed": int(source.signed),
        "padding_level": layer.padding_level,
    }
    if layer.weight_bits > MAX_BITS:
        return "CodeConv", attributes | {"group": layer.groups}, layer.weight
    attributes |= {"weight_bits": layer.weight_bits}
    if layer.depthwise:
        return "BitSerialDepthwiseConv", attributes, pack_weight(layer)
    attributes |= {"group": layer.groups, "weight_channels": layer.weight.shape[3]}
    return "BitSerialConv", attributes, pack_weight(layer)


class _GraphBuilder:
    """Appends the nodes of each layer in turn; a layer's result is the tensor ``NAME.output``."""

    def __init__(self, network: IntegerNetwork) -> None:
        self._network = network
        self._formats = network.formats()
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._value_info: list[onnx.ValueInfoProto] = []
        self._last = network.layers[-1].name

    def graph(self) -> onnx.GraphProto:
        for layer in self._network.layers:
            self._add(layer)
        image = helper.make_tensor_value_info(
            IMAGE, TensorProto.UINT8, ["N", *self._network.input_shape]
        )
        logits = self._value_info.pop()
        return helper.make_graph(
            self._nodes,
            self._network.name,
            [image],
            [logits],
            self._initializers,
            value_info=self._value_info,
        )

    def _add(self, layer: Layer) -> None:
        source = self._formats[layer.input]
        if isinstance(layer, Convolution):
            self._convolution(layer, source)
        elif isinstance(layer, QuantizeStream):
            stage, stream = layer.output, self._tensor(layer.input)
            if isinstance(stage, Quantize):
                self._quantize(layer.name, stage, stream, layer.name)
            else:
                self._requantize(layer.name, stage, stream, self._formats[layer.name].shape)
        elif isinstance(layer, AveragePoolStream):
            self._node("AveragePoolStream", layer, {})
        elif isinstance(layer, MaxPool):
            assert isinstance(source, Codes | Bytes)
            codes = isinstance(source, Codes)
            packed = {"channels": source.shape[2], "bits": source.bits} if codes else {}
            self._node(
                "MaxPoolCodes" if codes else "MaxPoolBytes",
                layer,
                {},
                **packed,
                kernel_shape=[layer.kernel] * 2,
                strides=[layer.stride] * 2,
                pads=[layer.padding] * 4,
            )
        elif isinstance(layer, GlobalSum) and isinstance(source, Codes):
            self._node("GlobalCodeSum", layer, {}, channels=source.shape[2], bits=source.bits)
        elif isinstance(layer, GlobalSum):
            self._node("GlobalStreamSum", layer, {}, shift=layer.shift)
        else:
            assert isinstance(layer, QuantizedDense)
            scale = np.asarray(layer.scale, np.float32)
            self._node(
                "QuantizedDense",
                layer,
                {"weight": layer.weight, "bias": layer.bias, "scale": scale},
            )

    def _convolution(self, layer: Convolution, source: Format) -> None:
        function, attributes, weight = convolution_function(layer, source)
        stage = layer.output
        name, shape = layer.name, self._formats[layer.name].shape
        fused = isinstance(stage, Quantize | Requantize)
        sums = f"{name}.sum" if fused else self._tensor(name)
        self._emit(
            function, name, [self._tensor(layer.input)], {"weight": weight}, sums, attributes
        )
        self._describe(sums, TensorProto.INT32, shape)
        if isinstance(stage, Quantize):
            self._quantize(f"{name}.quantize", stage, sums, name)
        elif isinstance(stage, Requantize):
            self._requantize(name, stage, sums, shape)

    def _quantize(self, node: str, stage: Quantize, source: str, layer: str) -> None:
        attributes: dict[str, Attribute] = {"bits": stage.bits, "signed": int(stage.signed)}
        constants = {"thresholds": stage.thresholds}
        self._emit("Quantize", node, [source], constants, self._tensor(layer), attributes)
        self._describe_output(layer)

    def _requantize(self, name: str, stage: Requantize, sums: str, shape: tuple[int, ...]) -> None:
        constants: dict[str, NDArray[Any]] = {}
        if stage.clip is not None:
            constants, current = vars(stage.clip), f"{name}.clipped"
            # The first node of a layer has its name.
            node = f"{name}.clip" if sums == f"{name}.sum" else name
            self._emit("ClipSums", node, [sums], constants, current, {})
            self._describe(current, TensorProto.INT32, shape)
            sums = current
        current = f"{name}.requantized"
        constants = {"multiplier": stage.multiplier, "bias": stage.bias}
        node = f"{name}.requantize"
        self._emit("Requantize", node, [sums], constants, current, {"shift": stage.shift})
        self._describe(current, TensorProto.INT32, shape)
        if stage.shortcut is not None:
            inputs = [current, self._tensor(stage.shortcut)]
            current = f"{name}.added"
            self._emit("AddShortcut", f"{name}.add", inputs, {}, current, {})
            self._describe(current, TensorProto.INT32, shape)
        activation: RPReLU | None = stage.activation
        saturated = self._tensor(name) if activation is None else f"{name}.saturated"
        function, node = _SATURATE[stage.dtype], f"{name}.saturate"
        self._emit(function, node, [current], {}, saturated, {})
        self._describe(saturated, _ELEMENTS[stage.dtype], shape)
        if activation is not None:
            constants = {
                "before": activation.before,
                "slope": activation.slope,
                "after": activation.after,
            }
            attributes = {"shift": activation.slope_shift}
            node, output = f"{name}.activation", self._tensor(name)
            self._emit("RPReLU", node, [saturated], constants, output, attributes)
            self._describe_output(name)

    def _node(
        self,
        function: str,
        layer: Layer,
        constants: dict[str, NDArray[Any]],
        **attributes: Attribute,
    ) -> None:
        """Add a layer that is a single node."""
        source, output = self._tensor(layer.input), self._tensor(layer.name)
        self._emit(function, layer.name, [source], constants, output, attributes)
        self._describe_output(layer.name)

    def _tensor(self, layer: str) -> str:
        """The tensor that a layer writes."""
        if layer == IMAGE:
            return IMAGE
        return "logits" if layer == self._last else f"{layer}.output"

    def _emit(
        self,
        function: str,
        name: str,
        inputs: Sequence[str],
        constants: dict[str, NDArray[Any]],
        output: str,
        attributes: dict[str, Any],
    ) -> None:
        keys = [f"{name}.{key}" for key in constants]
        for key, array in zip(keys, constants.values(), strict=True):
            self._initializers.append(numpy_helper.from_array(np.asarray(array, order="C"), key))
        self._nodes.append(
            helper.make_node(
                function, [*inputs, *keys], [output], name=name, domain=DOMAIN, **attributes
            )
        )

    def _describe_output(self, layer: str) -> None:
        """Add type and shape of a layer's output for viewers."""
        form = self._formats[layer]
        shape = form.shape
        if isinstance(form, Codes):
            shape = (*form.shape[:2], form.bits * packed_bytes(form.shape[2]))
        kinds: dict[type, int] = {
            Image: TensorProto.UINT8,
            Codes: TensorProto.UINT8,
            Stream: TensorProto.INT16,
            Counts: TensorProto.INT32,
            Logits: TensorProto.FLOAT,
        }
        kind = _ELEMENTS[form.dtype] if isinstance(form, Bytes) else kinds[type(form)]
        self._describe(self._tensor(layer), kind, shape)

    def _describe(self, tensor: str, kind: int, shape: Sequence[int]) -> None:
        self._value_info.append(helper.make_tensor_value_info(tensor, kind, ["N", *shape]))
