"""Turns networks along one axis into networks on pictures that are one row high.

Conv1d of [1, C, L] is a convolution of [1, C, 1, L] with a window of 1 x k. What follows it (batch
normalisation, activations, quantizers, pooling) is converted too, so later passes only see four
axes.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from bitat_deploy.foreign.elementwise import ELEMENTWISE
from bitat_deploy.foreign.graph import Graph, TensorType, attributes, variables

_POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
_BOTH = ("strides", "dilations")  # one number for both axes: a height of 1 stays 1


def with_rows(graph: Graph) -> Graph:
    """The graph with operators on [1, C, L] moved to [1, C, 1, L]; unchanged without Conv1d."""
    if not any(node.op_type == "Conv" and _is_line(graph, node.output[0]) for node in graph.nodes):
        return graph
    return _Lifting(graph).lifted()


def _is_line(graph: Graph, tensor: str) -> bool:
    kind = graph.types.get(tensor)
    return kind is not None and len(kind.shape) == 3 and kind.shape[0] == 1


class _Lifting:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}
        self._types: dict[str, TensorType] = {}

    def lifted(self) -> Graph:
        """The whole graph."""
        graph = self._graph
        chosen = {node.name for node in graph.nodes if self._fits(node)}
        readers = graph.readers()
        for node in graph.nodes:
            if node.name not in chosen:
                self._nodes.append(node)
                continue
            self._nodes.append(self._lift(node))
            output = node.output[0]
            outside = any(reader.name not in chosen for reader in readers.get(output, []))
            if outside or output == graph.output:
                self._add("Squeeze", self._row(output), output)
        return replace(
            graph,
            nodes=tuple(self._nodes),
            constants=graph.constants | self._constants,
            types=graph.types | self._types,
        )

    def _fits(self, node: onnx.NodeProto) -> bool:
        graph = self._graph
        if len([tensor for tensor in node.output if tensor]) != 1:
            return False
        tensors = [node.output[0], *variables(node, graph.constants)]
        if not all(_is_line(graph, tensor) for tensor in tensors):
            return False
        if node.op_type == "Conv":
            return node.input[1] in graph.constants
        return node.op_type in _POOLS or node.op_type in ELEMENTWISE

    def _lift(self, node: onnx.NodeProto) -> onnx.NodeProto:
        output = self._row(node.output[0])
        inputs = [self._input(node, tensor) for tensor in node.input]
        values = {key: _of_both_axes(key, value) for key, value in attributes(node).items()}
        return helper.make_node(node.op_type, inputs, [output], name=node.name, **values)

    def _input(self, node: onnx.NodeProto, tensor: str) -> str:
        value = self._graph.constants.get(tensor)
        if value is None:
            return self._row(tensor) if tensor else ""
        if value.ndim < 2:
            return tensor
        self._constants[f"{tensor}.row"] = np.expand_dims(value, -2)
        return f"{tensor}.row"

    def _row(self, tensor: str) -> str:
        """The tensor with a height of 1, which is added here unless a lifted node writes it."""
        name, kind = f"{tensor}.row", self._graph.types[tensor]
        if name not in self._types:
            channels, length = kind.shape[1:]
            self._types[name] = TensorType((1, channels, 1, length), kind.element)
            written = {made for node in self._nodes for made in node.output} | {self._graph.input}
            if tensor in written:
                self._add("Unsqueeze", tensor, name)
        return name

    def _add(self, operator: str, source: str, output: str) -> None:
        axes = "axis of rows"
        self._constants[axes] = np.array([2], np.int64)
        name = f"{output}.{operator}"
        self._nodes.append(helper.make_node(operator, [source, axes], [output], name=name))


def _of_both_axes(name: str, value: Any) -> Any:
    if name in _BOTH:
        return [value[0]] * 2
    if name == "kernel_shape":
        return [1, *value]
    if name == "pads":
        return [0, value[0], 0, value[1]]
    return value
