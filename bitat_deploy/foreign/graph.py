"""An ONNX graph as the passes of this stage see it: nodes in order, constants, shapes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 9
NOTE = "note"  # metadata key: what the user should know about the file


@dataclass(frozen=True)
class TensorType:
    """Shape and ONNX element type of a tensor; ``shape`` has the batch of 1 in front."""

    shape: tuple[int, ...]
    element: int

    @property
    def is_float(self) -> bool:
        """Whether it is float32."""
        return self.element == int(TensorProto.FLOAT)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order from one ``input`` to one ``output``, for a batch of one.

    ``constants`` holds every tensor that no image changes; ``types`` those of the others.
    Every node has a name of its own. ``dequantized`` has the DequantizeLinear nodes that
    float32 constants of an int8 file come from: :meth:`to_model` writes them back, as ONNX
    Runtime's optimizer looks for them.
    """

    name: str
    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, NDArray[Any]]
    types: dict[str, TensorType]
    input: str
    output: str
    opset: int
    functions: tuple[onnx.FunctionProto, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    dequantized: dict[str, onnx.NodeProto] = field(default_factory=dict)

    def producers(self) -> dict[str, onnx.NodeProto]:
        """The node that writes each tensor; not to be changed."""
        return self._producers

    def readers(self) -> dict[str, list[onnx.NodeProto]]:
        """The nodes that read each tensor; not to be changed."""
        return self._readers

    @cached_property
    def _producers(self) -> dict[str, onnx.NodeProto]:
        return {tensor: node for node in self.nodes for tensor in node.output if tensor}

    @cached_property
    def _readers(self) -> dict[str, list[onnx.NodeProto]]:
        found: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for tensor in dict.fromkeys(node.input):
                found.setdefault(tensor, []).append(node)
        return found

    def without_dead_nodes(self) -> "Graph":
        """The same without nodes and constants that the output does not depend on."""
        needed, kept = {self.output}, []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                kept.append(node)
                needed.update(node.input)
        for tensor, node in self.dequantized.items():
            if tensor in needed:
                needed.update(node.input)
        constants = {key: value for key, value in self.constants.items() if key in needed}
        return replace(self, nodes=tuple(reversed(kept)), constants=constants)

    def to_model(self) -> onnx.ModelProto:
        """The graph as an ONNX model that carries its functions."""
        inputs = [self._value(self.input)]
        domains = {function.domain for function in self.functions}
        versions = {
            entry.domain: entry.version
            for function in self.functions
            for entry in function.opset_import
            if entry.domain in domains
        }
        read = {tensor for node in self.nodes for tensor in node.input}
        stored = [node for tensor, node in self.dequantized.items() if tensor in read]
        computed = {node.output[0] for node in stored}
        opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
        model = helper.make_model(
            helper.make_graph(
                [*stored, *self.nodes],
                self.name,
                inputs,
                [self._value(self.output)],
                [
                    numpy_helper.from_array(value, key)
                    for key, value in self.constants.items()
                    if key not in computed
                ],
            ),
            functions=self.functions,
            opset_imports=[helper.make_opsetid("", self.opset), *opsets],
            ir_version=IR_VERSION,
            producer_name="bitat-deploy",
        )
        helper.set_model_props(model, self.metadata)
        return model

    def _value(self, tensor: str) -> onnx.ValueInfoProto:
        kind = self.types[tensor]
        return helper.make_tensor_value_info(tensor, kind.element, kind.shape)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes by name; texts as str."""
    values = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    return {
        key: value.decode(errors="replace") if isinstance(value, bytes) else value
        for key, value in values.items()
    }


def multiply_accumulates(graph: Graph, node: onnx.NodeProto) -> int:
    """Multiply-accumulates per picture of a convolution or product with constant weights, or 0."""
    if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in graph.constants:
        return 0
    pixels = graph.types[node.output[0]].shape[2:] if node.op_type == "Conv" else ()
    return int(graph.constants[node.input[1]].size) * math.prod(pixels)


def describe(node: onnx.NodeProto) -> str:
    """A node in words, for messages."""
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return f"operator {operator} (node '{node.name}')"


def variables(node: onnx.NodeProto, constants: Iterable[str]) -> list[str]:
    """The tensors that a node reads, without constants and omitted inputs."""
    known = set(constants)
    return [tensor for tensor in dict.fromkeys(node.input) if tensor and tensor not in known]
