"""Finds the convolutions whose weights and inputs take few values, however they are written."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitat_deploy.foreign.elementwise import Chain, ChannelFunction, chains_before
from bitat_deploy.foreign.graph import Graph, attributes
from bitat_deploy.foreign.levels import CodeSteps, WeightLevels, code_steps, weight_levels
from bitat_deploy.foreign.steps import Steps, find_float_steps
from bitat_deploy.foreign.windows import Pool, Window, convolution_window, max_pool

CONVOLUTIONS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True, eq=False)
class Quantizer:
    """A tensor with at most 16 values per channel, and the operator chain that produces it.

    ``steps`` describe the chain as a function of its root. ``sign_of_zero`` is None if the
    chain has no Sign; False if Sign's value 0 was dropped because no picture produced it.
    """

    chain: Chain
    steps: Steps
    codes: CodeSteps
    sign_of_zero: bool | None

    @property
    def tensor(self) -> str:
        """The quantized tensor."""
        return self.chain.end


@dataclass(frozen=True, eq=False)
class Binarized:
    """A convolution ``node`` with few-valued weights that reads ``quantizer``'s tensor.

    ``weight`` holds levels [out, in / groups, kernel, kernel] of copies. Where weights and inputs
    are levels with offsets, w = s t + v and x = r l + u, the output is

        ``scale`` * sum(t l) + ``of_inputs`` * sum(l) + ``constant``,  scale = s r, of_inputs = v r,

    as v and r are the same for all that an output reads; sums are over all copies of weights and
    of codes. ``constant`` float32 [out], or [out, H, W] where the border has no offset, is
    sum(w u) and the file's bias. ``of_inputs`` is None where there is no offset of the weights.
    ``pool`` is between the quantizer and the convolution.
    """

    node: onnx.NodeProto
    quantizer: Quantizer
    window: Window
    weight: WeightLevels
    padding_level: int
    scale: NDArray[np.float32]
    of_inputs: NDArray[np.float32] | None
    constant: NDArray[np.float32] | None
    between: tuple[str, ...]  # nodes between the quantizer and the convolution
    pool: Pool | None = None

    @property
    def of_border(self) -> bool:
        """Whether the constant depends on how far the window reaches over the border."""
        return self.constant is not None and self.constant.ndim > 1

    @property
    def output(self) -> str:
        """The tensor that the convolution writes."""
        return str(self.node.output[0])


class Finder:
    """Examines convolutions one by one and caches the quantizers it has found."""

    def __init__(self, graph: Graph, with_zeros: Collection[str]) -> None:
        self._graph = graph
        self._with_zeros = with_zeros
        self._producers = graph.producers()
        self._quantizers: dict[str, Quantizer | None] = {}

    def quantizer(self, tensor: str) -> Quantizer | None:
        """The quantizer that writes ``tensor``, if it is one."""
        if tensor not in self._quantizers:
            self._quantizers[tensor] = self._find_quantizer(tensor)
        return self._quantizers[tensor]

    def _find_quantizer(self, tensor: str) -> Quantizer | None:
        for chain in chains_before(self._graph, tensor):
            found = self._quantizer_of(chain)
            if found is not None:
                return found
        return None

    def _quantizer_of(self, chain: Chain) -> Quantizer | None:
        function = ChannelFunction(self._graph, chain)
        steps = find_float_steps(function, function.channels)
        if steps is None:
            return None
        sign_of_zero = None
        without = without_zero(steps)
        if without is not None and any(node.op_type == "Sign" for node in chain.nodes):
            sign_of_zero = chain.end in self._with_zeros
            steps = steps if sign_of_zero else without
        codes = code_steps(steps)
        return None if codes is None else Quantizer(chain, steps, codes, sign_of_zero)

    def binarized(self, node: onnx.NodeProto) -> Binarized | str:
        """The node as a convolution of ours, or the reason why it cannot be one."""
        graph = self._graph
        weight_name = node.input[1]
        if weight_name not in graph.constants:
            return "its weights are computed"
        weight = graph.constants[weight_name]
        if weight.dtype != np.float32:
            return "its weights are not float32"
        source, window, weight, between = self._spelled(node, weight)
        if isinstance(window, str):
            return window
        quantizer, pool = self.quantizer(source), None
        before = self._producers.get(source)
        if quantizer is None and before is not None and before.op_type == "MaxPool":
            quantizer, pool = self.quantizer(before.input[0]), max_pool(graph, before)
            between = (before.name, *between)
        if quantizer is None:
            return "its input is not quantized to 1 to 4 bits"
        if isinstance(pool, str):
            return pool
        if graph.types[source].shape[1] != weight.shape[1] * window.groups:
            return "its input does not fit its weights"
        codes = quantizer.codes
        levels = weight_levels(_times_input(weight, codes.scale, window.groups), window.groups)
        if levels is None:
            return "its weights are not of 1 to 4 bits"
        bias = constant_bias(graph, node, len(weight))
        if isinstance(bias, str):
            return bias
        level = padding_level(window, codes)
        if level is None:
            return "its padding value is not a level of its input"
        copies = len(levels.copies) * len(codes.starts)
        of_inputs = levels.offset / copies
        size = graph.types[node.output[0]].shape[2:] or (1, 1)
        border = codes.offset.any() and window.padding > 0 and level == 0
        offsets = _times_input(weight, codes.offset, window.groups).sum(axis=1)
        constant = _seen(offsets, window, graph.types[source].shape[2:], size) if border else None
        if constant is None:
            constant = offsets.sum(axis=(1, 2))
        if bias is not None:
            constant = constant + bias.reshape(-1, *[1] * (constant.ndim - 1))
        return Binarized(
            node=node,
            quantizer=quantizer,
            window=window,
            weight=levels,
            padding_level=level,
            scale=(levels.scale / copies).astype(np.float32),
            of_inputs=of_inputs.astype(np.float32) if of_inputs.any() else None,
            constant=constant.astype(np.float32) if constant.any() else None,
            between=between,
            pool=pool,
        )

    def _spelled(
        self, node: onnx.NodeProto, weight: NDArray[Any]
    ) -> tuple[str, Window | str, NDArray[np.float64], tuple[str, ...]]:
        """Quantized tensor, window or reason against it, weights [O, I, k, k], nodes in between."""
        source = node.input[0]
        before = self._producers.get(source)
        if node.op_type == "Conv":
            if weight.ndim != 4:
                return source, "it is not a two-dimensional convolution", weight, ()
            pad = before if before is not None and before.op_type == "Pad" else None
            found = convolution_window(self._graph, node, weight, pad)
            if isinstance(found, str):
                return source, found, weight, ()
            if pad is None:
                return source, *found, ()
            return pad.input[0], *found, (pad.name,)
        matrix = product_matrix(node, weight)
        shape = self._graph.types[source].shape
        if matrix is None or len(shape) != 2:
            return source, "it is not a matrix product of [1, channels]", weight, ()
        if before is not None and before.op_type in ("Flatten", "Reshape", "Squeeze"):
            whole = self._graph.types[before.input[0]].shape
            line = len(whole) == 4 and 1 in whole[2:]
            if len(whole) == 4 and whole[0] == 1 and (line or whole[2] == whole[3]):
                filters = matrix.reshape(len(matrix), *whole[1:])
                plain = Window((whole[2], whole[3]), 1, 0, 1, 1)
                return before.input[0], plain, filters, (before.name,)
        return source, Window((1, 1), 1, 0, 1, 1), matrix[:, :, None, None], ()


def without_zero(steps: Steps) -> Steps | None:
    """The steps of a scaled and shifted Sign with +1 at 0; None if they are not of that form.

    Of three values the middle one, which Sign's 0 gives, is the mean of the others.
    """
    for values in steps.values:
        if len(values) > 3:
            return None
        if len(values) == 3 and not np.isclose(
            values[1], (values[0] + values[2]) / 2, rtol=0, atol=1e-5 * np.ptp(values)
        ):
            return None
    if all(len(values) < 3 for values in steps.values):
        return None
    starts, kept = [], []
    for row, values in zip(steps.starts, steps.values, strict=True):
        # Where the values rise, +1 begins where 0 does; where they fall, it ends where 0 does.
        first = len(values) > 1 and values[0] < values[-1]
        middle = len(values) == 3
        # A channel that never reaches one of the signs keeps its values.
        starts.append(row[[0 if first else 1]] if middle else row)
        kept.append(values[[0, 2]] if middle else values)
    return Steps(tuple(starts), tuple(kept))


def padding_level(window: Window, codes: CodeSteps) -> int | None:
    """The level that gives the original's padding value; None if there is none.

    Level 0 means that padding contributes nothing, whatever the codes' offset.
    """
    if window.padding == 0:
        return 0
    top = 2**codes.bits - 1
    highest = codes.scale * top + codes.offset
    size = np.abs(codes.scale).max() * top
    if np.allclose(highest, window.padding_value, rtol=1e-6, atol=1e-6 * size):
        return top
    return 0 if window.padding_value == 0 else None


def _seen(taps: NDArray[np.float64], window: Window, size: Any, out: Any) -> NDArray[np.float64]:
    """Sums [O, H, W] of the ``taps`` [O, k, k] that fall inside the input of ``size``."""
    inside = []
    sizes = zip(size, out, window.kernel, window.paddings, strict=True)
    for extent, places, kernel, padding in sizes:
        reached = np.arange(places)[:, None] * window.stride - padding
        reached = reached + np.arange(kernel) * window.dilation
        inside.append(((reached >= 0) & (reached < extent)).astype(np.float64))
    return np.asarray(np.einsum("ha,wb,oab->ohw", *inside, taps))


def _times_input(
    weight: NDArray[Any], scale: NDArray[np.float64], groups: int
) -> NDArray[np.float64]:
    """Weights [O, I / groups, k, k] multiplied by a factor per input channel."""
    out, per_group = weight.shape[:2]
    by_group = np.repeat(scale.reshape(groups, per_group), out // groups, axis=0)
    return np.asarray(weight.astype(np.float64) * by_group[:, :, None, None])


def product_matrix(node: onnx.NodeProto, weight: NDArray[Any]) -> NDArray[Any] | None:
    """Weights [O, I] of a Gemm, with its alpha, or of a MatMul; None for another product."""
    values = attributes(node)
    if weight.ndim != 2 or values.get("transA", 0):
        return None
    matrix = weight if values.get("transB", 0) else weight.T
    return np.asarray(matrix * np.float32(values.get("alpha", 1.0)))


def constant_bias(
    graph: Graph, node: onnx.NodeProto, channels: int
) -> NDArray[np.float32] | str | None:
    """The bias [channels] of a node, None if it has none, or why it cannot be used."""
    if len(node.input) < 3 or not node.input[2]:
        return None
    if node.input[2] not in graph.constants:
        return "its bias is computed"
    bias = graph.constants[node.input[2]].reshape(-1)
    if bias.size not in (1, channels):
        return "its bias does not fit its channels"
    factor = np.float32(attributes(node).get("beta", 1.0))
    return np.asarray(np.broadcast_to(bias, (channels,)) * factor, np.float32)
