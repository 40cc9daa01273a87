"""Writes out normalisations whose shapes ONNX does not infer: by groups, and all at once."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.foreign.graph import describe

_AXES_ARE_AN_INPUT = 18  # the operator set from which on ReduceMean reads its axes
_LEAST_DEVIATION = 1e-9  # that MeanVarianceNormalization divides by, as ONNX defines it


def write_out_normalizations(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """``model``, of operator set ``opset``, with both in means, products and shapes.

    Raises UnsupportedOperatorError for groups whose scale is not constant.
    """
    kinds = {"GroupNormalization": _groups, "MeanVarianceNormalization": _mean_and_variance}
    if not any(node.op_type in kinds for node in model.graph.node):
        return model
    lengths = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}
    written: list[onnx.NodeProto] = []
    for node in model.graph.node:
        write = kinds.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        written += write(_Writer(node, opset), lengths) if write else [node]
    del model.graph.node[:]
    model.graph.node.extend(written)
    return model


class _Writer:
    """Nodes that take the place of one, with names of their own."""

    def __init__(self, node: onnx.NodeProto, opset: int) -> None:
        self.node, self.opset = node, opset
        self.nodes: list[onnx.NodeProto] = []
        self.values = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"{self.node.output[0]}.written{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: object, dtype: type = np.int64) -> str:
        return self.add("Constant", value=numpy_helper.from_array(np.array(value, dtype)))

    def mean(self, tensor: str, axes: list[int]) -> str:
        if self.opset < _AXES_ARE_AN_INPUT:
            return self.add("ReduceMean", tensor, axes=axes, keepdims=1)
        return self.add("ReduceMean", tensor, self.constant(axes), keepdims=1)

    def normalized(self, tensor: str, axes: list[int], inside: float, outside: float) -> str:
        """(x - mean) / (sqrt(variance + inside) + outside)."""
        centred = self.add("Sub", tensor, self.mean(tensor, axes))
        variance = self.mean(self.add("Mul", centred, centred), axes)
        if inside:
            variance = self.add("Add", variance, self.constant(inside, np.float32))
        deviation = self.add("Sqrt", variance)
        if outside:
            deviation = self.add("Add", deviation, self.constant(outside, np.float32))
        return self.add("Div", centred, deviation)


def _groups(writer: _Writer, lengths: dict[str, int]) -> list[onnx.NodeProto]:
    """Each group is normalized, then each channel is scaled and moved (operator set 21)."""
    source, scale, bias = writer.node.input
    if scale not in lengths:
        raise UnsupportedOperatorError(
            f"{describe(writer.node)} is not supported: its scale is not constant; export the "
            "network for inference"
        )
    groups = int(writer.values["num_groups"])
    epsilon = float(writer.values.get("epsilon", 1e-5))
    shape = writer.add("Shape", source)
    grouped = writer.add("Reshape", source, writer.constant([0, groups, -1]))
    normal = writer.normalized(grouped, [2], epsilon, 0)
    parts = writer.add("Reshape", normal, writer.constant([0, lengths[scale], -1]))
    column = writer.constant([1, -1, 1])
    scaled = writer.add("Mul", parts, writer.add("Reshape", scale, column))
    moved = writer.add("Add", scaled, writer.add("Reshape", bias, column))
    writer.add("Reshape", moved, shape, output=writer.node.output[0])
    return writer.nodes


def _mean_and_variance(writer: _Writer, lengths: dict[str, int]) -> list[onnx.NodeProto]:
    axes = [int(axis) for axis in writer.values.get("axes", (0, 2, 3))]
    normal = writer.normalized(writer.node.input[0], axes, 0, _LEAST_DEVIATION)
    writer.add("Identity", normal, output=writer.node.output[0])
    return writer.nodes
