"""ONNX function nodes to our operators, one by one, with a report on each layer."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from bitat_deploy.compiler.layer_report import LayerReport
from bitat_deploy.compiler.model import Model
from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.network import packed_bytes, unpack_bits
from bitat_deploy.onnx_format import DOMAIN
from bitat_deploy.operators import (
    BinaryDepthwiseConv,
    BinaryPointwiseConv,
    GlobalBitCount,
    Operator,
    QuantizedConv,
    QuantizedDense,
)
from bitat_deploy.target import Target

_MAXIMUM_VALUES = 1 << 28  # of a layer's output: a quarter of what kernels' int32 indices reach


@dataclass(frozen=True)
class CompiledLayer:
    """An operator, ready to be compiled, and what to say about it."""

    operator: Operator
    report: LayerReport


@dataclass(frozen=True)
class _Node:
    """A function node with its constant inputs and the shape of the tensor it reads."""

    name: str
    constants: tuple[NDArray[Any], ...]
    attributes: dict[str, Any]
    input_shape: tuple[int, ...]  # logical: (height, width, channels) or (features,)
    target: Target

    def window(self) -> tuple[int, int]:
        """Stride and padding, where they are equal in both directions and on all sides."""
        strides, pads = self.attributes["strides"], self.attributes["pads"]
        _check_window(strides, pads)
        if len(set(strides)) != 1 or len(set(pads)) != 1:
            raise UnsupportedOperatorError(
                f"layer '{self.name}' has strides {strides} and pads {pads}; "
                "equal strides and equal pads on all sides are supported"
            )
        return strides[0], pads[0]


def import_layers(model: Model, target: Target) -> tuple[CompiledLayer, ...]:
    """Turn the graph, a chain of our functions, into operators for ``target``.

    Raises UnsupportedOperatorError naming the first node that cannot be compiled, where it
    stands and what is supported; InputError where a node contradicts itself.
    """
    layers = []
    shape: tuple[int, ...] = model.input_shape
    current = model.input_name
    for index, proto in enumerate(model.nodes):
        name = proto.name or f"node {index}"
        if not proto.input or len(proto.output) != 1:
            raise InputError(
                f"layer '{name}' of '{model.path}' has no input or not one output; "
                "export the network again"
            )
        converter = _converter(proto, name)
        if proto.input[0] != current:
            raise UnsupportedOperatorError(
                f"layer '{name}' reads '{proto.input[0]}' instead of the layer before it; "
                "only chains without branches are supported"
            )
        node = _Node(
            name=name,
            constants=_constants(model, proto, name),
            attributes={entry.name: helper.get_attribute_value(entry) for entry in proto.attribute},
            input_shape=shape,
            target=target,
        )
        try:
            layer = converter(node)
            _check_size(layer.report)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise InputError(
                f"layer '{name}' ({proto.op_type}) of '{model.path}' is inconsistent: {error}; "
                "export the network again"
            ) from error
        layers.append(layer)
        shape = layer.report.output_shape
        current = proto.output[0]
    if current != model.output_name or len(shape) != 1:
        raise InputError(f"'{model.path}' does not end in a classifier; export the network again")
    return tuple(layers)


def _converter(proto: onnx.NodeProto, name: str) -> Callable[[_Node], CompiledLayer]:
    if proto.domain == DOMAIN and proto.op_type in _CONVERTERS:
        return _CONVERTERS[proto.op_type]
    kind = f"{proto.domain or 'ai.onnx'}.{proto.op_type}"
    supported = ", ".join(f"{DOMAIN}.{key}" for key in _CONVERTERS)
    raise UnsupportedOperatorError(
        f"operator {kind} (layer '{name}') is not supported; supported are: {supported}"
    )


def _constants(model: Model, proto: onnx.NodeProto, name: str) -> tuple[NDArray[Any], ...]:
    missing = [key for key in proto.input[1:] if key not in model.initializers]
    if missing:
        raise UnsupportedOperatorError(
            f"layer '{name}' takes '{missing[0]}' from another layer; its weights and thresholds "
            "must be constants of the file"
        )
    return tuple(model.initializers[key] for key in proto.input[1:])


def _check_window(strides: Any, pads: Any) -> None:
    for name, values, count in (("strides", strides, 2), ("pads", pads, 4)):
        if not isinstance(values, list) or len(values) != count:
            raise ValueError(f"its {name} are not {count} whole numbers")
        lowest = 1 if name == "strides" else 0
        if not all(isinstance(value, int) and lowest <= value < 1 << 14 for value in values):
            raise ValueError(f"its {name} are out of range")


def _check_size(report: LayerReport) -> None:
    values = math.prod(report.output_shape)
    if min(report.output_shape) < 1 or values > _MAXIMUM_VALUES:
        raise ValueError(f"its output would have the shape {report.output_shape}")


def _check_kernel(weight: NDArray[Any], axes: int, window: slice) -> None:
    if weight.ndim != axes or len(set(weight.shape[window])) > 1:
        raise ValueError(f"its weights {weight.shape} are no square filters")


def _check_channels(node: _Node, weight: NDArray[Any]) -> int:
    """The channels that the node says it reads, checked against what it is given."""
    channels = node.attributes["channels"]
    if not isinstance(channels, int):
        raise ValueError("its channels are no whole number")
    if channels != node.input_shape[-1]:
        raise ValueError(f"it reads {channels} channels, but is given {node.input_shape[-1]}")
    if weight.dtype != np.uint8 or weight.shape[-1] != packed_bytes(channels):
        raise ValueError(f"its packed weights do not hold {channels} channels")
    return channels


def _check_vector(name: str, vector: NDArray[Any], size: int) -> None:
    if vector.dtype != np.int32 or vector.shape != (size,):
        raise ValueError(f"its {name} is {vector.dtype} {vector.shape} and not int32 ({size},)")


def _quantized_conv(node: _Node) -> CompiledLayer:
    weight, threshold = node.constants
    stride, padding = node.window()
    height, width, channels = node.input_shape
    _check_kernel(weight, 4, slice(1, 3))
    if weight.dtype != np.int8 or weight.shape[3] != channels:
        raise ValueError(f"its weights {weight.shape} do not fit {channels} input channels")
    _check_vector("threshold", threshold, weight.shape[0])
    operator = QuantizedConv(
        height=height,
        width=width,
        weight=weight,
        threshold=threshold,
        stride=stride,
        padding=padding,
        target=node.target,
    )
    output = (*operator.output.shape[1:3], weight.shape[0])
    report = LayerReport(
        name=node.name,
        kind=f"conv {weight.shape[1]}x{weight.shape[2]}, stride {stride}",
        input_shape=node.input_shape,
        output_shape=output,
        weight_bits=8,
        activation_bits=8,
        macs=int(np.prod(output) * np.prod(weight.shape[1:])),
        binarized=False,
        fused=True,
        packed_output=True,
        reason="the first layer reads the 8-bit image",
    )
    return CompiledLayer(operator, report)


def _binary_depthwise_conv(node: _Node) -> CompiledLayer:
    weight, threshold = node.constants
    channels = _check_channels(node, weight)
    _check_kernel(weight, 3, slice(0, 2))
    _check_vector("threshold", threshold, channels)
    stride, padding = node.window()
    height, width, _ = node.input_shape
    operator = BinaryDepthwiseConv(
        height=height,
        width=width,
        weight=unpack_bits(weight, channels),
        threshold=threshold,
        stride=stride,
        padding=padding,
        target=node.target,
    )
    output = (*operator.output.shape[1:3], channels)
    kernel = f"{weight.shape[0]}x{weight.shape[1]}"
    macs = int(np.prod(output) * np.prod(weight.shape[:2]))
    return _binary_layer(operator, node, f"depthwise {kernel}, stride {stride}", output, macs)


def _binary_pointwise_conv(node: _Node) -> CompiledLayer:
    weight, threshold = node.constants
    channels = _check_channels(node, weight)
    _check_kernel(weight, 2, slice(0, 0))
    _check_vector("threshold", threshold, weight.shape[0])
    height, width, _ = node.input_shape
    operator = BinaryPointwiseConv(
        height=height,
        width=width,
        weight=unpack_bits(weight, channels),
        threshold=threshold,
        target=node.target,
    )
    output = (height, width, weight.shape[0])
    return _binary_layer(operator, node, "pointwise 1x1", output, int(np.prod(output) * channels))


def _binary_layer(
    operator: Operator, node: _Node, kind: str, output: tuple[int, ...], macs: int
) -> CompiledLayer:
    report = LayerReport(
        name=node.name,
        kind=kind,
        input_shape=node.input_shape,
        output_shape=output,
        weight_bits=1,
        activation_bits=1,
        macs=macs,
        binarized=True,
        fused=True,
        packed_output=True,
        reason="",
    )
    return CompiledLayer(operator, report)


def _global_bit_count(node: _Node) -> CompiledLayer:
    height, width, channels = node.input_shape
    if node.attributes["channels"] != channels:
        raise ValueError(
            f"it reads {node.attributes['channels']} channels, but is given {channels}"
        )
    operator = GlobalBitCount(height=height, width=width, channels=channels, target=node.target)
    report = LayerReport(
        name=node.name,
        kind="global bit count",
        input_shape=node.input_shape,
        output_shape=(channels,),
        weight_bits=0,
        activation_bits=1,
        macs=0,
        binarized=True,
        fused=False,
        packed_output=False,
        reason="it has no weights, and the 8-bit classifier reads its int32 counts",
    )
    return CompiledLayer(operator, report)


def _quantized_dense(node: _Node) -> CompiledLayer:
    weight, bias, scale = node.constants
    classes, features = weight.shape
    _check_vector("bias", bias, classes)
    if weight.dtype != np.int8 or scale.dtype != np.float32 or scale.shape != ():
        raise ValueError("its weights are not int8, or its scale is not one float32")
    operator = QuantizedDense(weight=weight, bias=bias, scale=np.float32(scale), target=node.target)
    if features != node.input_shape[-1]:
        raise ValueError(f"it reads {features} features, but is given {node.input_shape[-1]}")
    report = LayerReport(
        name=node.name,
        kind="dense",
        input_shape=node.input_shape,
        output_shape=(classes,),
        weight_bits=8,
        activation_bits=32,
        macs=weight.size,
        binarized=False,
        fused=True,
        packed_output=False,
        reason="the classifier has 8-bit weights and writes float32 logits",
    )
    return CompiledLayer(operator, report)


_CONVERTERS: dict[str, Callable[[_Node], CompiledLayer]] = {
    "QuantizedConvThreshold": _quantized_conv,
    "BinaryDepthwiseConvThreshold": _binary_depthwise_conv,
    "BinaryPointwiseConvThreshold": _binary_pointwise_conv,
    "GlobalBitCount": _global_bit_count,
    "QuantizedDense": _quantized_dense,
}
