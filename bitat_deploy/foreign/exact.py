"""The original network with exact sums, which tells a difference from a rounding.

A convolution of weights +-a and inputs +-b adds float32 numbers that have been rounded; where the
sum is a whole number of steps from a threshold, what it gives hangs on the order of additions.
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
    """The graph with the convolutions ``found`` on whole numbers: x / step, rounded."""
    replaced = {binarized.node.name: binarized for binarized in found}
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
    weight = np.mean(found.weight.copies, axis=0)
    (above, below), (left, right) = found.window.zeros
    kernel = found.window.kernel
    weight = weight[:, :, above : kernel - below, left : kernel - right]
    step = found.quantizer.codes.scale
    tail: tuple[int, ...] = (1, 1)
    if node.op_type != "Conv":
        step = np.repeat(step, weight.shape[2] * weight.shape[3])
        weight = weight.reshape(len(weight), -1)
        weight = weight if attributes(node).get("transB", 0) else weight.T
        tail = ()
    constants: dict[str, NDArray[Any]] = {
        f"{name}.step": step.reshape(1, -1, *tail).astype(np.float32),
        f"{name}.weight": np.ascontiguousarray(weight).astype(np.float32),
        f"{name}.scale": found.weight.scale.reshape(1, -1, *tail).astype(np.float32),
        f"{name}.bias": np.zeros((1, 1, *tail), np.float32),
    }
    if found.bias is not None:
        constants[f"{name}.bias"] = found.bias.reshape(1, -1, *tail)
    product = type(node)()
    product.CopyFrom(node)
    del product.input[:], product.output[:]
    product.input.extend([f"{name}.x", f"{name}.weight"])
    product.output.append(f"{name}.sum")
    chain = [
        ("Div", [node.input[0], f"{name}.step"], f"{name}.ratio"),
        ("Round", [f"{name}.ratio"], f"{name}.x"),
        None,
        ("Mul", [f"{name}.sum", f"{name}.scale"], f"{name}.scaled"),
        ("Add", [f"{name}.scaled", f"{name}.bias"], node.output[0]),
    ]
    made = [
        product
        if entry is None
        else helper.make_node(entry[0], entry[1], [entry[2]], name=f"{name}.{entry[0]}")
        for entry in chain
    ]
    return made, constants
