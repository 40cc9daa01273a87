"""Replaces the convolutions of int8 files by our 8-bit convolution.

It reads uint8, NHWC, and gives the int32 sums; what follows it, in standard operators, is the
requantization, of which every step is exact or rounds once. Two such layers after each other hand
over uint8 in NHWC; transposed copies that nobody reads fall away.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.foreign.binarized import CONVOLUTIONS
from bitat_deploy.foreign.eight_bit import EightBit, Requantization, find_eight_bit
from bitat_deploy.foreign.functions import mixed_functions
from bitat_deploy.foreign.graph import TensorType, multiply_accumulates
from bitat_deploy.foreign.graph_builder import FLOAT, INT32, UINT8, GraphBuilder, NodeRow
from bitat_deploy.foreign.layer_nodes import add_convolution
from bitat_deploy.foreign.mixed_network import FileLayer
from bitat_deploy.foreign.rewrite import Rewritten
from bitat_deploy.network import IMAGE_WEIGHT_BITS, Convolution, Image, Sums, output_format

_INT32_MAX = np.iinfo(np.int32).max
_REQUANTIZES = "it rescales the sums of the 8-bit layer before it"


def with_eight_bit_layers(rewritten: Rewritten) -> Rewritten:
    """Replace convolutions of 8-bit weights on 8-bit inputs by our layers where possible."""
    return _Rewriter(rewritten).rewrite()


class _Rewriter:
    def __init__(self, rewritten: Rewritten) -> None:
        self._rewritten = rewritten
        self._graph = rewritten.graph
        self._builder = GraphBuilder(rewritten.graph)
        self._layers = dict(rewritten.layers)
        self._formats = dict(rewritten.formats)
        self._reasons = dict(rewritten.reasons)
        self._in_file = dict(rewritten.in_file)

    def rewrite(self) -> Rewritten:
        replaced: set[str] = set()
        for node in self._graph.nodes:
            found = find_eight_bit(self._graph, node) if node.op_type in CONVOLUTIONS else None
            if isinstance(found, EightBit):
                found = self._emit(found) or found
            if isinstance(found, str):
                self._reasons[node.name] = found
            if isinstance(found, EightBit):
                self._reasons.pop(node.name, None)
                replaced.update([found.after.tensor] if found.after else [node.output[0]])
            elif not replaced & set(node.output):
                self._builder.keep(node)
        functions = mixed_functions(self._graph.opset) if self._layers else ()
        graph = self._builder.finished(functions)
        return replace(
            self._rewritten,
            graph=graph,
            layers=self._layers,
            formats=self._formats,
            reasons=self._reasons,
            in_file=self._in_file,
        )

    def _emit(self, found: EightBit) -> str | None:
        """Add the nodes of a layer; returns the reason if it cannot be one of ours."""
        kind = self._graph.types[found.source].shape
        channels, height, width = kind[1:] if len(kind) == 4 else (kind[1], 1, 1)
        zero, padding = found.affine.zero + found.affine.offset, found.window.padding
        # Our convolution pads with the code 0.
        border = found.window.paddings if zero else (0, 0)
        source = f"{found.source}.nhwc" + (f".padded{border[0]}x{border[1]}" if any(border) else "")
        image = Image((height + 2 * border[0], width + 2 * border[1], channels))
        layer = Convolution(
            name=found.node.name,
            input=source,
            weight=np.ascontiguousarray(found.weight.transpose(0, 2, 3, 1)),
            weight_bits=IMAGE_WEIGHT_BITS,
            output=Sums(),
            stride=found.window.stride,
            padding=0 if any(border) else padding,
            dilation=found.window.dilation,
            groups=found.window.groups,
        )
        whole = found.bias.dtype == np.int32
        offset = -zero * found.weight.astype(np.int64).sum(axis=(1, 2, 3))
        offset += found.bias.astype(np.int64) if whole else 0
        try:
            form = output_format(layer, {source: image})
        except ValueError as error:
            return str(error)
        reach = 255 * np.abs(found.weight.astype(np.int64)).sum(axis=(1, 2, 3)) + np.abs(offset)
        if reach.max() > _INT32_MAX:
            return "its sums do not fit into 32 bits"
        if source not in self._builder.types:
            self._emit_source(found, source, image, border, zero)
        sums = add_convolution(self._builder, layer, image, form)
        self._layers[sums] = layer
        work = multiply_accumulates(self._graph, found.node)
        self._in_file[layer.name] = FileLayer(IMAGE_WEIGHT_BITS, IMAGE_WEIGHT_BITS, work)
        inside = Image((height, width, channels))
        self._formats |= {f"{found.source}.nhwc": inside, source: image}
        self._formats |= {layer.name: form, sums: form}
        row = NodeRow(self._builder, sums, f"{layer.name}.", form.shape)
        if offset.any():
            row.step("Add", offset.astype(np.int32), element=INT32)
        self._reasons[f"{layer.name}.0"] = _REQUANTIZES
        row.step("Cast", to=FLOAT)
        if found.after is not None:
            self._emit_requantization(row, found, found.after)
            return None
        row.step("Mul", found.sum_scale)
        if not whole:
            row.step("Add", np.asarray(found.bias, np.float32))
        row.finish(found.node.output[0])
        return None

    def _emit_source(
        self, found: EightBit, name: str, image: Image, border: tuple[int, int], zero: int
    ) -> None:
        """The quantized tensor as uint8 in NHWC, with a border of the code of 0."""
        inner = f"{found.source}.nhwc"
        height, width, channels = image.shape
        shape = (1, height - 2 * border[0], width - 2 * border[1], channels)
        if inner not in self._builder.types:
            self._emit_channels_last(found, inner, shape)
        if any(border):
            constants: dict[str, NDArray[Any]] = {
                f"{name}.pads": np.array([0, *border, 0] * 2, np.int64),
                f"{name}.value": np.array(zero, np.uint8),
            }
            kind = TensorType((1, *image.shape), UINT8)
            self._builder.add("Pad", [inner], name, kind, constants=constants)

    def _emit_channels_last(self, found: EightBit, name: str, shape: tuple[int, ...]) -> None:
        row = NodeRow(self._builder, found.source, f"{name}.", shape[1:])
        if found.affine.offset:
            row.step("Cast", to=INT32, element=INT32, like=found.source)
            offset = np.array(found.affine.offset, np.int32)
            row.step("Add", offset, element=INT32, like=found.source)
            row.step("Cast", to=UINT8, element=UINT8, like=found.source)
        kind = TensorType(shape, UINT8)
        if len(self._graph.types[found.source].shape) == 2:
            sizes = {f"{name}.shape": np.array(shape, np.int64)}
            self._builder.add("Reshape", [row.current], name, kind, constants=sizes)
        else:
            self._builder.add("Transpose", [row.current], name, kind, perm=[0, 2, 3, 1])

    def _emit_requantization(self, row: NodeRow, found: EightBit, after: Requantization) -> None:
        affine = after.affine
        row.step("Mul", np.asarray(found.sum_scale / affine.scale, np.float32))
        row.step("Round")
        limits = (-128, 127) if affine.offset else (0, 255)
        low = max(limits[0], affine.zero) if after.relu else limits[0]
        if affine.zero:
            row.step("Add", np.array(affine.zero, np.float32))
        row.step("Clip", np.array(low, np.float32), np.array(limits[1], np.float32))
        row.step("Cast", to=affine.element, element=affine.element)
        if not affine.offset and len(self._graph.types[after.tensor].shape) == 4:
            row.rename(f"{after.tensor}.nhwc")
        row.finish(after.tensor)
