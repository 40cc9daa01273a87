"""The original network with exact sums, to tell real differences from rounding.

A convolution of weights +-a and inputs +-b adds float32 numbers that have been rounded; where the
sum is a whole number of steps from a threshold, the result depends on the order of additions.
Here the same convolutions add whole numbers, and scale the sum once.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from bitat_deploy.foreign.binarized import Binarized
from bitat_deploy.foreign.graph import Graph, attributes


def with_whole_sums(graph: Graph, found: Sequence[Binarized]) -> Graph:
    """The graph with the convolutions ``found`` on whole numbers: (x - offset) / step, rounded.

    Convolutions whose zero padding is not a level of their input stay as they are.
    """
    pads = {node.name for node in graph.nodes if node.op_type == "Pad"}
    replaced = {
        binarized.node.name: binarized
        for binarized in found
        if not (pads & set(binarized.between) and binarized.of_border)
    }
    nodes: list[onnx.NodeProto] = []
    constants = dict(graph.constants)
    for node in graph.nodes:
        if node.name not in replaced:
            nodes.append(node)
            continue
        added = _whole(graph, replaced[node.name])
        nodes.extend(added[0])
        constants |= added[1]
    return replace(graph, nodes=tuple(nodes), constants=constants)


def _whole(graph: Graph, found: Binarized) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    node, name = found.node, f"{found.node.name}.whole"
    codes = found.quantizer.codes
    copies = len(found.weight.copies) * len(codes.starts)
    weight = np.mean(found.weight.copies, axis=0) * copies
    (above, below), (left, right) = found.window.zeros
    height, width = found.window.kernel
    weight = weight[:, :, above : height - below, left : width - right]
    step, offset = codes.scale, codes.offset
    tail: tuple[int, ...] = (1, 1)
    ones = np.full_like(weight, copies)
    if node.op_type != "Conv":
        pixels = weight.shape[2] * weight.shape[3]
        step, offset = np.repeat(step, pixels), np.repeat(offset, pixels)
        weight, ones = (
            w.reshape(len(w), -1) if attributes(node).get("transB", 0) else w.reshape(len(w), -1).T
            for w in (weight, ones)
        )
        tail = ()
    of_outputs, of_inputs = (1, -1, *tail), (1, -1, *tail)
    constants: dict[str, NDArray[Any]] = {
        f"{name}.offset": offset.reshape(of_inputs).astype(np.float32),
        f"{name}.step": step.reshape(of_inputs).astype(np.float32),
        f"{name}.weight": np.ascontiguousarray(weight).astype(np.float32),
        f"{name}.scale": found.scale.reshape(of_outputs),
    }
    nodes = _Nodes(name)
    shifted = nodes.add("Sub", node.input[0], f"{name}.offset")
    levels = nodes.add("Round", nodes.add("Div", shifted, f"{name}.step"))
    total = nodes.add("Mul", nodes.product(node, levels, f"{name}.weight"), f"{name}.scale")
    if found.of_inputs is not None:
        constants[f"{name}.ones"] = np.ascontiguousarray(ones).astype(np.float32)
        constants[f"{name}.of_inputs"] = found.of_inputs.reshape(of_outputs)
        inputs = nodes.product(node, levels, f"{name}.ones")
        total = nodes.add("Add", total, nodes.add("Mul", inputs, f"{name}.of_inputs"))
    constant = np.zeros(1, np.float32) if found.constant is None else found.constant
    constants[f"{name}.constant"] = (
        constant[None] if constant.ndim == 3 else constant.reshape(of_outputs)
    )
    nodes.add("Add", total, f"{name}.constant", output=node.output[0])
    return nodes.made, constants


class _Nodes:
    """Nodes whose names begin with that of the one they replace."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.made: list[onnx.NodeProto] = []

    def add(self, operator: str, *inputs: str, output: str = "") -> str:
        name = f"{self._name}.{len(self.made)}"
        self.made.append(helper.make_node(operator, inputs, [output or name], name=name))
        return output or name

    def product(self, node: onnx.NodeProto, x: str, weight: str) -> str:
        """The convolution or matrix product ``node`` of other tensors, without its bias."""
        name = f"{self._name}.{len(self.made)}"
        made = type(node)()
        made.CopyFrom(node)
        made.name = name
        kept = [entry for entry in made.attribute if entry.name not in ("alpha", "beta")]
        del made.input[:], made.output[:], made.attribute[:]
        made.attribute.extend(kept)
        made.input.extend([x, weight])
        made.output.append(name)
        self.made.append(made)
        return name
