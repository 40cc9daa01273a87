"""Finds the convolutions of int8 files that our 8-bit operator can compute.

Such a file holds ``DequantizeLinear -> Conv -> [Relu ->] QuantizeLinear`` (ONNX's QDQ form;
QLinearConv has been expanded to it). With x = sx (qx - zx), w[o] = sw[o] qw and a bias of
whole multiples of sx sw[o] (Jacob et al., arXiv 1712.05877, equations 4 and 11),

    sum = sum of (qx - zx) qw + bias,  q = clip(round(float32(sum) m[o]) + zy),  m = sx sw[o] / sy,

which is what ONNX Runtime computes for it, in this order, so that q is the same to the bit.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitat_deploy.foreign.binarized import constant_bias, product_matrix
from bitat_deploy.foreign.graph import Graph, attributes
from bitat_deploy.foreign.windows import Window, convolution_window

_INT32 = np.iinfo(np.int32).max
_SAMPLE = 64  # weights of a filter that a scale is first tried on


@dataclass(frozen=True)
class Affine:
    """real = ``scale`` * (q - ``zero``), of a whole tensor; ``element`` is q's ONNX type."""

    scale: np.float32
    zero: int
    element: int

    @property
    def offset(self) -> int:
        """What to add to q to get a uint8."""
        return 128 if self.element == onnx.TensorProto.INT8 else 0

    @property
    def middle(self) -> int:
        """The uint8 that stands for 0."""
        return self.zero + self.offset

    def reaches(self, low: float, high: float) -> bool:
        """Whether no q stands for a number below ``low`` or above ``high``."""
        limits = np.array([low, high], np.float32) / self.scale
        first, last = np.rint(limits) + self.middle
        return bool(first <= 0 and last >= 255)


@dataclass(frozen=True, eq=False)
class Requantization:
    """The QuantizeLinear after a convolution, which writes ``tensor``; ``low`` is 0 after Relu."""

    tensor: str
    affine: Affine
    relu: bool


@dataclass(frozen=True, eq=False)
class EightBit:
    """A convolution ``node`` of int8 ``weight`` [out, in / groups, k, k] on the tensor ``source``.

    ``scale`` float32 [out] is that of the weights. ``bias`` is int32 [out] in units of the sum's
    scale, or float32 where it is no whole multiple; only with the former is there an ``after``.
    """

    node: onnx.NodeProto
    source: str
    affine: Affine
    window: Window
    weight: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.int32] | NDArray[np.float32]
    after: Requantization | None

    @property
    def sum_scale(self) -> NDArray[np.float32]:
        """What a sum of 1 stands for, for each output channel."""
        return np.asarray(self.affine.scale * self.scale, np.float32)


def find_eight_bit(graph: Graph, node: onnx.NodeProto) -> EightBit | str | None:
    """A Conv, Gemm or MatMul as an 8-bit layer, or why not; None if its input is not 8 bits."""
    before = graph.producers().get(node.input[0])
    affine = None if before is None else affine_of(graph, before)
    if before is None or before.op_type != "DequantizeLinear":
        return None
    if affine is None:
        return "its input has no single 8-bit scale"
    weight = graph.constants.get(node.input[1])
    if weight is None or weight.dtype != np.float32:
        return "its weights are no constants in float32 or int8"
    window = Window((1, 1), 1, 0, 1, 1)
    if node.op_type == "Conv":
        if weight.ndim != 4:
            return "it is not a two-dimensional convolution"
        spelled = convolution_window(graph, node, weight)
        if isinstance(spelled, str):
            return spelled
        window, weight = spelled
    else:
        matrix = product_matrix(node, weight)
        if matrix is None or len(graph.types[node.input[0]].shape) != 2:
            return "it is not a matrix product of [1, channels]"
        weight = matrix[:, :, None, None]
    levels = _file_levels(graph, node.input[1], weight) or int8_levels(weight)
    if levels is None:
        return "its weights are not of 8 bits with 0 in the middle"
    bias = constant_bias(graph, node, len(weight))
    if isinstance(bias, str):
        return bias
    found = EightBit(node, before.input[0], affine, window, *levels, np.zeros(1, np.float32), None)
    whole = _whole_bias(bias, found.sum_scale)
    if whole is None:
        assert bias is not None
        return replace(found, bias=bias)
    return replace(found, bias=whole, after=_requantization(graph, node))


def _file_levels(
    graph: Graph, tensor: str, weight: NDArray[np.float32]
) -> tuple[NDArray[np.int8], NDArray[np.float32]] | None:
    """Levels and scales as the file has them, in whose steps its biases are whole."""
    stored = graph.dequantized.get(tensor)
    scale = None if stored is None else graph.constants.get(stored.input[1])
    if scale is None or scale.dtype != np.float32 or scale.size not in (1, len(weight)):
        return None
    scale = np.broadcast_to(scale.reshape(-1), (len(weight),))
    by_output = scale.reshape(-1, *[1] * (weight.ndim - 1))
    with np.errstate(all="ignore"):
        levels = np.rint(weight / by_output)
        same = levels.astype(np.float32) * by_output == weight
    if not (same.all() and levels.min() >= -128 and levels.max() <= 127):
        return None
    return levels.astype(np.int8), np.ascontiguousarray(scale)


def int8_levels(
    weight: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.float32]] | None:
    """int8 levels of weights [out, ...], and the float32 scale of each output that gives them.

    ``level * scale``, in float32, is the weight to the bit. None where an output has no scale.
    """
    levels, scales = [], []
    for row in weight.reshape(len(weight), -1):
        found = _row_levels(row)
        if found is None:
            return None
        levels.append(found[0])
        scales.append(found[1])
    return np.stack(levels).reshape(weight.shape), np.array(scales, np.float32)


def _row_levels(row: NDArray[np.float32]) -> tuple[NDArray[np.int8], np.float32] | None:
    largest = float(np.abs(row).max())
    if largest == 0:
        return np.zeros(row.shape, np.int8), np.float32(1)
    counts = np.arange(1, 129)
    ratios = row[:_SAMPLE].astype(np.float64) * counts[:, None] / largest
    near = np.abs(ratios - np.round(ratios)).max(axis=1) < 1e-4
    for count in counts[near]:
        level = np.round(row.astype(np.float64) * count / largest)
        if level.max() > 127:
            continue
        middle = np.float32(largest / count)
        neighbours = np.nextafter(middle, np.array([0, np.inf], np.float32))
        for scale in (middle, *neighbours):
            if (level.astype(np.float32) * scale == row).all():
                return level.astype(np.int8), np.float32(scale)
    return None


def affine_of(graph: Graph, node: onnx.NodeProto) -> Affine | None:
    """Parameters of a per-tensor (De)QuantizeLinear of uint8 or int8; None for other kinds."""
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return None
    constants = [graph.constants.get(tensor) for tensor in node.input[1:] if tensor]
    if any(value is None or value.size != 1 for value in constants):
        return None
    scale: Any = constants[0]
    zero = constants[1] if len(constants) > 1 else None
    tensor = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
    kind = graph.types.get(tensor)
    if kind is None or kind.element not in (onnx.TensorProto.UINT8, onnx.TensorProto.INT8):
        return None
    if scale.dtype != np.float32 or "block_size" in attributes(node):
        return None
    return Affine(
        np.float32(scale.reshape(-1)[0]),
        0 if zero is None else int(zero.reshape(-1)[0]),
        kind.element,
    )


def _whole_bias(
    bias: NDArray[np.float32] | None, scale: NDArray[np.float32]
) -> NDArray[np.int32] | None:
    if bias is None:
        return np.zeros(len(scale), np.int32)
    ratio = bias.astype(np.float64) / scale
    near = np.abs(ratio - np.round(ratio)) <= 1e-3 + 1e-7 * np.abs(ratio)
    if not near.all() or np.abs(ratio).max() > _INT32 // 2:
        return None
    return np.round(ratio).astype(np.int32)


def _requantization(graph: Graph, node: onnx.NodeProto) -> Requantization | None:
    """The QuantizeLinear that is the only reader of the node's result, possibly after a Relu.

    A Clip between them is none where the bytes have no numbers beyond it, as for ReLU6 in most
    files; ONNX Runtime leaves it out, too.
    """
    relu, limits = False, (-np.inf, np.inf)
    while True:
        if node.output[0] == graph.output:
            return None
        readers = graph.readers().get(node.output[0], [])
        if len(readers) != 1:
            return None
        (node,) = readers
        if node.op_type == "QuantizeLinear":
            affine = affine_of(graph, node)
            if affine is None or not affine.reaches(*limits):
                return None
            return Requantization(node.output[0], affine, relu)
        if node.op_type == "Clip" and limits == (-np.inf, np.inf) and not relu:
            bounds = clip_limits(graph, node)
            if bounds is None:
                return None
            limits = bounds
        elif node.op_type == "Relu":
            relu = True
        else:
            return None


def clip_limits(graph: Graph, node: onnx.NodeProto) -> tuple[float, float] | None:
    """The constants of a Clip, infinite where it has none."""
    found = []
    for place, without in ((1, -np.inf), (2, np.inf)):
        tensor = node.input[place] if len(node.input) > place else ""
        value = graph.constants.get(tensor) if tensor else np.array(without)
        if value is None or value.size != 1:
            return None
        found.append(float(value.reshape(-1)[0]))
    return found[0], found[1]
