"""Translates the windows of a file's convolutions and pools to those of our layers.

Our layers have one stride and dilation for both directions, one border for all four sides, and
filters that are square, or one row or one column without a border across. Other filters, or a
border that is not even, become so by rows and columns of zero weights around the filter, where that
leaves height and width of the output as they are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitat_deploy.foreign.graph import Graph, attributes

Zeros = tuple[tuple[int, int], tuple[int, int]]  # (above, below), (left, right)


@dataclass(frozen=True)
class Window:
    """How a convolution moves over its input; as in :class:`.Convolution`.

    ``kernel`` [height, width] counts the ``zeros`` that were put around the filter; a filter of
    one row or column has no ``padding`` across.
    """

    kernel: tuple[int, int]
    stride: int
    padding: int
    dilation: int
    groups: int
    padding_value: float = 0.0
    zeros: Zeros = ((0, 0), (0, 0))

    @property
    def paddings(self) -> tuple[int, int]:
        """Rows above and below, columns left and right."""
        square = self.kernel[0] == self.kernel[1]
        height, width = (self.padding if square or size > 1 else 0 for size in self.kernel)
        return height, width


@dataclass(frozen=True)
class Pool:
    """A max pool ``node``: ``padding`` on all sides, which never wins."""

    node: onnx.NodeProto
    kernel: int
    stride: int
    padding: int


def convolution_window(
    graph: Graph,
    node: onnx.NodeProto,
    weight: NDArray[Any],
    pad: onnx.NodeProto | None = None,
) -> tuple[Window, NDArray[Any]] | str:
    """Window and weights [O, I, k, k] of a Conv, or why our layers cannot have it.

    ``pad`` is a Pad before it that is taken as part of it.
    """
    values = attributes(node)
    kernel = weight.shape[2:]
    strides, dilations = values.get("strides", [1, 1]), values.get("dilations", [1, 1])
    for name, sizes in (("strides", strides), ("dilations", dilations)):
        if len(set(sizes)) != 1:
            return f"its {name} differ between directions ({list(sizes)})"
    pads, value = _pads(graph, node, kernel, strides, dilations), 0.0
    if pad is not None:
        border = _border(graph, pad)
        if border is None or (border[1] != 0 and any(pads)):
            return "the Pad before it is of an unsupported kind"
        pads, value = [own + more for own, more in zip(pads, border[0], strict=True)], border[1]
    if min(pads) < 0:
        return f"its pads are negative ({list(pads)})"
    square = _line(kernel, pads, dilations[0]) or _square(kernel, pads, dilations[0])
    if square is None:
        return (
            f"its kernel {list(kernel)} with pads {list(pads)} changes height and width "
            "differently, which our layers cannot"
        )
    padding, zeros = square
    weight = np.pad(weight, ((0, 0), (0, 0), *zeros))
    groups = values.get("group", 1)
    size = (weight.shape[2], weight.shape[3])
    window = Window(size, strides[0], padding, dilations[0], groups, value, zeros)
    return window, weight


def max_pool(graph: Graph, node: onnx.NodeProto) -> Pool | str:
    """The window of a MaxPool, or why our layers cannot have it."""
    values = attributes(node)
    kernel = values["kernel_shape"]
    strides, dilations = values.get("strides", [1, 1]), values.get("dilations", [1, 1])
    pads = _pads(graph, node, kernel, strides, dilations)
    plain = len(kernel) == 2 and set(dilations) == {1} and not values.get("ceil_mode", 0)
    if not plain or any(len(set(sizes)) != 1 for sizes in (kernel, strides, pads)):
        return "the max pool before it differs between directions, or is dilated or rounded up"
    if len(node.output) > 1 or pads[0] >= kernel[0]:
        return "the max pool before it is of an unsupported kind"
    return Pool(node, kernel[0], strides[0], pads[0])


def _line(kernel: Any, pads: Any, dilation: int) -> tuple[int, Zeros] | None:
    """The border along a filter of one row or column, and zeros that make it even."""
    for along, across in ((1, 0), (0, 1)):
        if kernel[across] != 1 or kernel[along] == 1 or pads[across] or pads[across + 2]:
            continue
        before, after = pads[along], pads[along + 2]
        missing = (max(before, after) - before, max(before, after) - after)
        if any(count % dilation for count in missing):
            return None
        zeros = ((0, 0), (missing[0] // dilation, missing[1] // dilation))
        return max(before, after), zeros if along == 1 else (zeros[1], zeros[0])
    return None


def _square(kernel: Any, pads: Any, dilation: int) -> tuple[int, Zeros] | None:
    """One border for all sides, and the zeros around the filter that compensate for it."""
    sides = [(pads[axis], pads[axis + 2]) for axis in (0, 1)]
    lost = {dilation * (kernel[axis] - 1) - sum(sides[axis]) for axis in (0, 1)}
    if len(lost) != 1:
        return None
    for padding in range(max(pads), max(pads) + dilation):
        missing = [(padding - before, padding - after) for before, after in sides]
        if all(count % dilation == 0 for pair in missing for count in pair):
            (above, below), (left, right) = missing
            return padding, (
                (above // dilation, below // dilation),
                (left // dilation, right // dilation),
            )
    return None


def _pads(graph: Graph, node: onnx.NodeProto, kernel: Any, strides: Any, dilations: Any) -> Any:
    values = attributes(node)
    mode = values.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return values.get("pads", [0, 0, 0, 0])
    if mode == "VALID":
        return [0, 0, 0, 0]
    before, after = [], []
    for axis, size in enumerate(graph.types[node.input[0]].shape[2:]):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        total = max((-(-size // strides[axis]) - 1) * strides[axis] + reach - size, 0)
        low, high = total // 2, total - total // 2
        before.append(high if mode == "SAME_LOWER" else low)
        after.append(low if mode == "SAME_LOWER" else high)
    return [*before, *after]


def _border(graph: Graph, pad: onnx.NodeProto) -> tuple[list[int], float] | None:
    """[top, left, bottom, right] and value of a Pad of constants around pictures."""
    names = list(pad.input) + [""] * 4
    if attributes(pad).get("mode", "constant") != "constant" or names[3]:
        return None
    if any(name and name not in graph.constants for name in names[1:3]):
        return None
    value = float(graph.constants[names[2]]) if names[2] else 0.0
    pads = graph.constants[names[1]].reshape(2, 4)
    if pads[:, :2].any() or pads.min() < 0:
        return None
    return [int(size) for size in (*pads[0, 2:], *pads[1, 2:])], value
