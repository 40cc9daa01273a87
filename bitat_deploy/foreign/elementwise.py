"""Finds chains of operators that apply one function per channel to every value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitat_deploy.foreign.execute import Subgraph
from bitat_deploy.foreign.graph import Graph, attributes, variables

# What computes each number from the numbers at the same place. Most never fall, or never rise, as
# their input rises; whether a chain of them is a step function is found by running it.
ELEMENTWISE = {
    *("Add", "Sub", "Mul", "Div", "Min", "Max", "Neg", "Relu", "LeakyRelu", "PRelu", "Clip"),
    *("BatchNormalization", "Sign", "Round", "Floor", "Ceil", "Sigmoid", "HardSigmoid", "Tanh"),
    *("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Where", "Cast", "Identity"),
    *("Elu", "Selu", "Softplus", "Softsign", "Erf", "QuantizeLinear", "DequantizeLinear"),
    *("Abs", "And", "Or", "Equal", "Exp", "Sqrt", "Pow", "Reciprocal", "Sum", "HardSwish"),
}


@dataclass(frozen=True, eq=False)
class Chain:
    """Elementwise nodes from the tensor ``root`` to the tensor ``end``."""

    root: str
    end: str
    nodes: tuple[onnx.NodeProto, ...]

    @property
    def inner(self) -> frozenset[str]:
        """Tensors that the nodes write, ``end`` among them."""
        return frozenset(tensor for node in self.nodes for tensor in node.output)


def chains_before(graph: Graph, end: str) -> list[Chain]:
    """Chains that end in the tensor ``end``, the longest first.

    Their roots are float32 tensors, with channels as the second axis. None where no elementwise
    operator writes ``end``.
    """
    producers = graph.producers()
    position = {node.name: index for index, node in enumerate(graph.nodes)}
    taken: dict[str, onnx.NodeProto] = {}
    open_tensors = {end}
    found: list[Chain] = []
    while True:
        written = [tensor for tensor in open_tensors if tensor in producers]
        if len(written) < len(open_tensors):
            break  # the picture itself
        last = max(written, key=lambda tensor: position[producers[tensor].name])
        node = producers[last]
        if not _is_elementwise(graph, node):
            break
        taken[node.name] = node
        open_tensors -= set(node.output)
        open_tensors |= set(variables(node, graph.constants))
        if len(open_tensors) == 1:
            (tensor,) = open_tensors
            kind = graph.types.get(tensor)
            if kind and kind.is_float and len(kind.shape) in (2, 4):
                nodes = tuple(node for node in graph.nodes if node.name in taken)
                found.insert(0, Chain(tensor, end, nodes))
    return found


def _is_elementwise(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type not in ELEMENTWISE or node.domain not in ("", "ai.onnx"):
        return False
    if len([tensor for tensor in node.output if tensor]) != 1:
        return False
    kind = graph.types.get(node.output[0])
    if kind is None or len(kind.shape) not in (2, 4):
        return False
    for tensor in variables(node, graph.constants):
        source = graph.types.get(tensor)
        if source is None or source.shape != kind.shape:
            return False
    if node.op_type == "BatchNormalization":
        return True
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        if any(graph.constants[t].size > 1 for t in node.input[1:] if t in graph.constants):
            return False
        return "block_size" not in attributes(node)
    constants = [graph.constants[tensor] for tensor in node.input if tensor in graph.constants]
    return all(_is_per_channel(constant, kind.shape) for constant in constants)


def _is_per_channel(constant: NDArray[Any], shape: tuple[int, ...]) -> bool:
    sizes = (1,) * (len(shape) - constant.ndim) + constant.shape
    return all(size == 1 or axis == 1 for axis, size in enumerate(sizes))


class ChannelFunction:
    """A chain as a function of one number for each channel.

    Called with float32 [channels, points], it gives the chain's values there, by ONNX Runtime,
    so that they are what the original file computes, rounding included.
    """

    def __init__(self, graph: Graph, chain: Chain, extra: Mapping[str, NDArray[Any]] | None = None):
        constants = graph.constants if extra is None else {**graph.constants, **extra}
        self._root = chain.root
        self._rank = len(graph.types[chain.end].shape)
        self.channels = graph.types[chain.end].shape[1]
        self._subgraph = Subgraph(
            chain.nodes, constants, {chain.root: np.float32}, [chain.end], graph.opset
        )

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Values [channels, points] at ``x`` [channels, points]."""
        if self._rank == 2:
            (y,) = self._subgraph.run({self._root: np.ascontiguousarray(x.T)})
            return np.asarray(y.T, np.float64)
        (y,) = self._subgraph.run({self._root: np.ascontiguousarray(x[None, :, None])})
        return np.asarray(y[0, :, 0], np.float64)
