"""Finds what int8 files compute between their convolutions: shortcuts, averages, tables.

A QuantizeLinear ends each: ``DequantizeLinear -> operators -> QuantizeLinear``. ONNX Runtime
computes the first two as one with float32 arithmetic of its own, which
:mod:`bitat_deploy.network.byte_layers` states.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from bitat_deploy.foreign.eight_bit import Affine, affine_of, clip_limits
from bitat_deploy.foreign.elementwise import ELEMENTWISE
from bitat_deploy.foreign.execute import Subgraph
from bitat_deploy.foreign.graph import Graph, attributes, variables

_SAME_VALUES = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
_TO_CHANNELS_FIRST = [0, 3, 1, 2]
_LONGEST_CHAIN = 16


@dataclass(frozen=True)
class Quantized:
    """A tensor of bytes in the file, and what they mean."""

    tensor: str
    affine: Affine


@dataclass(frozen=True)
class Addition:
    """Both summands."""

    first: Quantized
    second: Quantized


@dataclass(frozen=True)
class Average:
    """What is averaged over all pixels."""

    source: Quantized


@dataclass(frozen=True)
class Same:
    """The same bytes in another shape of one pixel."""

    source: Quantized


@dataclass(frozen=True, eq=False)
class Table:
    """A function of each byte of ``source``; ``table`` uint8 [channels or 1, 256], offsets added.

    ``source`` is a quantized tensor, or the network's picture, which has no affine.
    """

    source: str
    affine: Affine | None
    table: NDArray[np.uint8]


Found = Addition | Average | Same | Table


def find_bytes(graph: Graph, node: onnx.NodeProto, affine: Affine) -> Found | None:
    """What the QuantizeLinear ``node`` with ``affine`` ends, if it is one of these."""
    kind = graph.types[node.output[0]]
    if len(kind.shape) not in (2, 4):
        return None
    source = _only_source(graph, node)
    if source is not None and _is_limited_anyway(graph, source, affine):
        source = _only_source(graph, source)
    if source is not None and source.op_type == "Add":
        return _addition(graph, source, affine)
    if source is not None and source.op_type == "GlobalAveragePool":
        quantized = dequantized(graph, source.input[0])
        return None if quantized is None else Average(quantized)
    if source is not None and is_same_pixel(graph, source):
        quantized = dequantized(graph, source.input[0])
        return Same(quantized) if quantized is not None and quantized.affine == affine else None
    return _table(graph, node, affine)


def dequantized(graph: Graph, tensor: str) -> Quantized | None:
    """The bytes that ``tensor`` is dequantized from, by one scale."""
    node = graph.producers().get(tensor)
    if node is None or node.op_type != "DequantizeLinear":
        return None
    affine = affine_of(graph, node)
    return None if affine is None else Quantized(node.input[0], affine)


def _only_source(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """What writes the node's input, if nothing else reads it."""
    tensor = node.input[0]
    if len(graph.readers().get(tensor, [])) != 1 or tensor == graph.output:
        return None
    return graph.producers().get(tensor)


def _is_limited_anyway(graph: Graph, node: onnx.NodeProto, affine: Affine) -> bool:
    """Whether a Relu or Clip cuts off what the bytes after it do not reach."""
    if node.op_type == "Relu":
        return affine.middle == 0
    limits = clip_limits(graph, node) if node.op_type == "Clip" else None
    return limits is not None and affine.reaches(*limits)


def _addition(graph: Graph, node: onnx.NodeProto, affine: Affine) -> Addition | None:
    summands = [dequantized(graph, tensor) for tensor in node.input]
    if len(summands) != 2 or any(one is None for one in summands):
        return None
    first, second = (one for one in summands if one is not None)
    shapes = {graph.types[one.tensor].shape for one in (first, second)}
    elements = {one.affine.element for one in (first, second)} | {affine.element}
    if len(shapes) > 1 or len(elements) > 1:
        return None
    return Addition(first, second)


def is_same_pixel(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node gives the values of one pixel in another shape."""
    if node.op_type not in _SAME_VALUES:
        return False
    shapes = [graph.types[tensor].shape for tensor in (node.input[0], node.output[0])]
    return all(_is_pixel(shape) for shape in shapes)


def _is_pixel(shape: Sequence[int]) -> bool:
    return len(shape) in (2, 4) and all(size == 1 for size in (shape[0], *shape[2:]))


def _table(graph: Graph, end: onnx.NodeProto, affine: Affine) -> Table | None:
    """A row of elementwise operators on the picture or on a dequantized tensor."""
    nodes: list[onnx.NodeProto] = [end]
    while len(nodes) < _LONGEST_CHAIN:
        node = nodes[0]
        (tensor, *others) = variables(node, graph.constants) or [""]
        if others or not tensor:
            return None
        if tensor == graph.input:
            return _run(graph, nodes, tensor, None, affine)
        before = graph.producers().get(tensor)
        if before is None or len(before.output) != 1:
            return None
        if before.op_type == "DequantizeLinear":
            quantized = dequantized(graph, tensor)
            if quantized is None:
                return None
            return _run(graph, [before, *nodes], quantized.tensor, quantized.affine, affine)
        to_first = before.op_type == "Transpose" and (
            attributes(before).get("perm") == _TO_CHANNELS_FIRST
        )
        if not to_first and before.op_type not in ELEMENTWISE:
            return None
        nodes.insert(0, before)
    return None


def _run(
    graph: Graph,
    nodes: Sequence[onnx.NodeProto],
    root: str,
    source: Affine | None,
    affine: Affine,
) -> Table | None:
    """The nodes, run in ONNX Runtime on all bytes of each channel."""
    kind, end = graph.types[root], nodes[-1].output[0]
    channels_last = root == graph.input
    if len(kind.shape) != 4 or len(graph.types[end].shape) != 4:
        return None
    transposed = sum(node.op_type == "Transpose" for node in nodes)
    if transposed != int(channels_last):
        return None
    channels = kind.shape[3 if channels_last else 1]
    levels = np.arange(256, dtype=np.int16) - (0 if source is None else source.offset)
    dtype = np.int8 if source is not None and source.offset else np.uint8
    shape = (1, 256, 1, channels) if channels_last else (1, channels, 256, 1)
    spread = levels[:, None, None] if channels_last else levels[:, None]
    x = np.ascontiguousarray(np.broadcast_to(spread, shape).astype(dtype))
    try:
        subgraph = Subgraph(nodes, graph.constants, {root: dtype}, [end], graph.opset)
        (y,) = subgraph.run({root: x})
    except Exception:  # of constants that differ between pixels: ONNX Runtime has no common base
        return None
    if y.shape != (1, channels, 256, 1):
        return None
    table = (y[0, :, :, 0].astype(np.int16) + affine.offset).astype(np.uint8)
    return Table(root, source, table[:1] if (table == table[:1]).all() else table)
