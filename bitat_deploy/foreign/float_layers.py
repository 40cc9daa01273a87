"""Splits the standard nodes into layers: one operator plus the cheap ones that follow it."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import helper, numpy_helper

from bitat_deploy.foreign.graph import (
    IR_VERSION,
    Graph,
    attributes,
    multiply_accumulates,
    variables,
)
from bitat_deploy.onnx_format import DOMAIN

# Cheap operators that are fused into the operator before them.
_FOLLOWERS = {
    *("Add", "Sub", "Mul", "Div", "Min", "Max", "Neg", "Relu", "LeakyRelu", "PRelu", "Clip"),
    *("BatchNormalization", "Sign", "Round", "Floor", "Ceil", "Sigmoid", "HardSigmoid", "Tanh"),
    *("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Where", "Cast", "Identity"),
    *("Elu", "Selu", "Softplus", "Softsign", "Erf", "QuantizeLinear", "DequantizeLinear"),
    *("HardSwish", "Abs", "Exp", "Log", "Sqrt", "Pow", "Reciprocal", "Gelu", "Mish"),
    *("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice"),
}


@dataclass(frozen=True, eq=False)
class FloatLayer:
    """Standard nodes, in an order in which they can be computed, and what they read and write."""

    name: str
    nodes: tuple[onnx.NodeProto, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def float_layers(graph: Graph) -> dict[str, FloatLayer]:
    """All standard nodes of a graph in layers, by the last node of each.

    Ordered by these last nodes, each layer comes after the layers it reads.
    """
    readers = graph.readers()
    group_of: dict[str, list[onnx.NodeProto]] = {}  # by the tensor that a group ends in
    groups: list[list[onnx.NodeProto]] = []
    for node in graph.nodes:
        if node.domain == DOMAIN:
            continue
        group = None
        if node.op_type in _FOLLOWERS:
            for tensor in variables(node, graph.constants):
                if len(readers[tensor]) > 1 or tensor == graph.output or tensor not in group_of:
                    continue
                if group is None:
                    group = group_of.pop(tensor)
                elif all(other.op_type in _FOLLOWERS for other in group_of[tensor]):
                    cheap = group_of.pop(tensor)
                    groups = [other for other in groups if other is not cheap]
                    group[:0] = cheap
        if group is None:
            group = []
            groups.append(group)
        group.append(node)
        if len(node.output) == 1:
            group_of[node.output[0]] = group
    return {group[-1].name: _layer(graph, group, readers) for group in groups}


def single_layer(graph: Graph, node: onnx.NodeProto) -> FloatLayer:
    """One node as a layer by itself."""
    return _layer(graph, [node], graph.readers())


def _layer(
    graph: Graph, group: Sequence[onnx.NodeProto], readers: dict[str, list[onnx.NodeProto]]
) -> FloatLayer:
    written = {tensor for node in group for tensor in node.output}
    read = [tensor for node in group for tensor in variables(node, graph.constants)]
    outputs = [
        tensor
        for tensor in group[-1].output
        if tensor and (tensor in readers or tensor == graph.output)
    ]
    return FloatLayer(
        name=_anchor(group).name,
        nodes=tuple(group),
        inputs=tuple(tensor for tensor in dict.fromkeys(read) if tensor not in written),
        outputs=tuple(outputs),
    )


def _anchor(nodes: Sequence[onnx.NodeProto]) -> onnx.NodeProto:
    """The node that the layer is named after."""
    return next((node for node in nodes if node.op_type not in _FOLLOWERS), nodes[0])


def float_model(graph: Graph, layer: FloatLayer) -> onnx.ModelProto:
    """A layer by itself, with inputs of fixed size."""
    values = {
        tensor: helper.make_tensor_value_info(
            tensor, graph.types[tensor].element, graph.types[tensor].shape
        )
        for tensor in (*layer.inputs, *layer.outputs)
    }
    read = {tensor for node in layer.nodes for tensor in node.input}
    return helper.make_model(
        helper.make_graph(
            layer.nodes,
            "layer",
            [values[tensor] for tensor in layer.inputs],
            [values[tensor] for tensor in layer.outputs],
            [numpy_helper.from_array(graph.constants[t], t) for t in graph.constants if t in read],
        ),
        opset_imports=[helper.make_opsetid("", graph.opset)],
        ir_version=IR_VERSION,
    )


def describe_float_layer(graph: Graph, layer: FloatLayer) -> str:
    """What it computes, for the layer table."""
    words = []
    for node in layer.nodes:
        word = _WORDS.get(node.op_type, node.op_type.lower())
        if node.op_type == "Conv":
            word = _convolution(graph, node)
        if word and word not in words:
            words.append(word)
    if len(words) > 4:
        words = [*words[:3], "..."]
    return " + ".join(words) or "rearrangement"


def float_layer_macs(graph: Graph, layer: FloatLayer) -> int:
    """Multiply-accumulates of its convolutions and matrix products."""
    return sum(multiply_accumulates(graph, node) for node in layer.nodes)


_WORDS = {
    "BatchNormalization": "batch normalization",
    "GlobalAveragePool": "global average",
    "AveragePool": "average pool",
    "MaxPool": "max pool",
    "Gemm": "dense",
    "MatMul": "dense",
    "QuantizeLinear": "quantization",
    "DequantizeLinear": "dequantization",
    **dict.fromkeys(("Cast", "Identity", "Transpose", "Flatten", "Reshape", "Unsqueeze"), ""),
    "Squeeze": "",
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), "arithmetic"),
}


def _convolution(graph: Graph, node: onnx.NodeProto) -> str:
    values = attributes(node)
    weight = graph.constants.get(node.input[1])
    kernel = "x".join(map(str, weight.shape[2:])) if weight is not None else ""
    groups, stride = values.get("group", 1), values.get("strides", [1])[0]
    depthwise = weight is not None and groups == weight.shape[0] and weight.shape[1] == 1
    kind = "depthwise" if depthwise and groups > 1 else "conv"
    return f"{kind} {kernel}" + (f", stride {stride}" if stride > 1 else "")
