"""Replaces the 8-bit layers of int8 files by ours.

Between them tensors are uint8 in NHWC, int8 ones with 128 added. A convolution gives them where a
QuantizeLinear follows, otherwise its int32 sums, which standard operators scale to float32. The
tensors of the file are made of ours for whatever else reads them; if nothing does, these nodes fall
away.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitat_deploy.foreign.binarized import CONVOLUTIONS
from bitat_deploy.foreign.byte_finder import (
    Addition,
    Average,
    Same,
    Table,
    find_bytes,
    is_same_pixel,
)
from bitat_deploy.foreign.eight_bit import Affine, EightBit, affine_of, find_eight_bit
from bitat_deploy.foreign.functions import (
    ADD_BYTES,
    AVERAGE_BYTES,
    MAP_BYTES,
    PAD_BYTES,
    RESCALE_SUMS,
    mixed_functions,
)
from bitat_deploy.foreign.graph import TensorType, multiply_accumulates
from bitat_deploy.foreign.graph_builder import FLOAT, INT8, INT32, UINT8, GraphBuilder, NodeRow
from bitat_deploy.foreign.layer_nodes import add_convolution
from bitat_deploy.foreign.mixed_network import FileLayer
from bitat_deploy.foreign.rewrite import Rewritten
from bitat_deploy.network import (
    IMAGE_WEIGHT_BITS,
    AddBytes,
    AverageBytes,
    ByteLayer,
    Convolution,
    Image,
    MapBytes,
    Rescale,
    Sums,
    output_format,
)
from bitat_deploy.onnx_format import DOMAIN

_INT32_MAX = np.iinfo(np.int32).max
_REQUANTIZES = "it rescales the sums of the 8-bit layer before it"


def with_eight_bit_layers(rewritten: Rewritten) -> Rewritten:
    """Replace convolutions of 8-bit weights on 8-bit inputs, and what is between them."""
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
        self._bytes: dict[str, str] = {}  # our tensor of each quantized one of the file
        self._affines: dict[str, Affine] = {}  # and what its bytes mean

    def rewrite(self) -> Rewritten:
        for node in self._graph.nodes:
            if set(node.output) & set(self._bytes):
                continue
            found = find_eight_bit(self._graph, node) if node.op_type in CONVOLUTIONS else None
            if isinstance(found, EightBit):
                found = self._emit(found) or found
            if isinstance(found, str):
                self._reasons[node.name] = found
            if isinstance(found, EightBit):
                self._reasons.pop(node.name, None)
            elif not self._emit_between(node):
                self._builder.keep(node)
        functions = mixed_functions(self._graph.opset) if self._layers else ()
        graph = self._builder.finished(functions, dequantized={})
        written = set(graph.producers())
        return replace(
            self._rewritten,
            graph=graph,
            layers={key: layer for key, layer in self._layers.items() if key in written},
            formats=self._formats,
            reasons=self._reasons,
            in_file=self._in_file,
        )

    def _emit(self, found: EightBit) -> str | None:
        """Add the nodes of a convolution; returns the reason if it cannot be one of ours."""
        kind, zero = self._graph.types[found.source].shape, found.affine.middle
        image = Image((*kind[2:], kind[1]) if len(kind) == 4 else (1, 1, kind[1]))
        whole = found.bias.dtype == np.int32
        offset = -zero * found.weight.astype(np.int64).sum(axis=(1, 2, 3))
        offset += found.bias.astype(np.int64) if whole else 0
        reach = 255 * np.abs(found.weight.astype(np.int64)).sum(axis=(1, 2, 3)) + np.abs(offset)
        if reach.max() > _INT32_MAX:
            return "its sums do not fit into 32 bits"
        layer = Convolution(
            name=found.node.name,
            input=found.source,
            weight=np.ascontiguousarray(found.weight.transpose(0, 2, 3, 1)),
            weight_bits=IMAGE_WEIGHT_BITS,
            output=Sums() if found.after is None else _rescale(found, offset),
            stride=found.window.stride,
            padding=found.window.padding,
            padding_level=zero if any(found.window.paddings) else 0,
            dilation=found.window.dilation,
            groups=found.window.groups,
        )
        try:
            form = output_format(layer, {found.source: image})
        except ValueError as error:
            return str(error)
        source = self._bytes_of(found.source, found.affine)
        layer = replace(layer, input=source)
        sums = self._emit_sums(layer, image)
        work = multiply_accumulates(self._graph, found.node)
        self._in_file[layer.name] = FileLayer(IMAGE_WEIGHT_BITS, IMAGE_WEIGHT_BITS, work)
        self._formats |= {source: image, layer.name: form}
        if isinstance(layer.output, Rescale):
            assert found.after is not None
            output = _name_of(found.after.tensor)
            stage = _stage_constants(output, layer.output)
            self._add_ours(RESCALE_SUMS, [sums], output, (1, *form.shape), stage)
            self._remember(found.after.tensor, found.after.affine, output, layer)
        else:
            self._formats[sums] = form
            self._layers[sums] = layer
            self._scale(found, sums, form.shape, offset)
        return None

    def _emit_sums(self, layer: Convolution, image: Image) -> str:
        """The node of a convolution's sums, and of a border that is not 0 before it; the sums."""
        bare, (above, left) = replace(layer, output=Sums()), layer.paddings
        if layer.padding_level:
            height, width, channels = image.shape
            image = Image((height + 2 * above, width + 2 * left, channels))
            padded = f"{layer.input}.padded{above}x{left}"
            if padded not in self._builder.types:
                constants = {
                    "pads": np.array([0, above, left, 0] * 2, np.int64),
                    "level": np.array(layer.padding_level, np.uint8),
                }
                self._add_ours(PAD_BYTES, [layer.input], padded, (1, *image.shape), constants)
            bare = replace(bare, input=padded, padding=0, padding_level=0)
        return add_convolution(self._builder, bare, image, output_format(bare, {bare.input: image}))

    def _scale(
        self, found: EightBit, sums: str, shape: tuple[int, ...], offset: NDArray[np.int64]
    ) -> None:
        """Sums as float32 in the file's layout."""
        row = NodeRow(self._builder, sums, f"{found.node.name}.", shape)
        if offset.any():
            row.step("Add", offset.astype(np.int32), element=INT32)
        self._reasons[f"{found.node.name}.0"] = _REQUANTIZES
        row.step("Cast", to=FLOAT)
        row.step("Mul", found.sum_scale)
        if found.bias.dtype == np.float32:
            row.step("Add", np.asarray(found.bias, np.float32))
        row.finish(found.node.output[0])

    def _bytes_of(self, tensor: str, affine: Affine) -> str:
        """Our tensor of a quantized one of the file."""
        if tensor in self._bytes:
            return self._bytes[tensor]
        name, shape = _name_of(tensor), self._graph.types[tensor].shape
        if name in self._builder.types:
            return name
        row = NodeRow(self._builder, tensor, f"{name}.", shape[1:])
        if affine.offset:
            row.step("Cast", to=INT32, element=INT32, like=tensor)
            row.step("Add", np.array(affine.offset, np.int32), element=INT32, like=tensor)
            row.step("Cast", to=UINT8, element=UINT8, like=tensor)
        if len(shape) == 2:
            kind = TensorType((1, 1, 1, shape[1]), UINT8)
            sizes = {f"{name}.shape": np.array(kind.shape, np.int64)}
            self._builder.add("Reshape", [row.current], name, kind, constants=sizes)
        else:
            kind = TensorType((1, *shape[2:], shape[1]), UINT8)
            self._builder.add("Transpose", [row.current], name, kind, perm=[0, 2, 3, 1])
        self._formats[name] = Image((kind.shape[1], kind.shape[2], kind.shape[3]))
        return name

    def _emit_between(self, node: onnx.NodeProto) -> bool:
        """Add the layer that ``node``, a QuantizeLinear, ends; False if there is none of ours.

        Operators that reshape a pixel may read bytes themselves.
        """
        tensor = node.output[0]
        if node.input and node.input[0] in self._bytes and is_same_pixel(self._graph, node):
            source = node.input[0]
            self._remember(tensor, self._affines[source], self._bytes[source])
            return True
        affine = affine_of(self._graph, node) if node.op_type == "QuantizeLinear" else None
        found = None if affine is None else find_bytes(self._graph, node, affine)
        if affine is None or found is None:
            return False
        name, output = node.name, _name_of(tensor)
        if isinstance(found, Same):
            if found.source.tensor not in self._bytes:
                return False
            self._remember(tensor, affine, self._bytes[found.source.tensor])
            return True
        if isinstance(found, Addition):
            summands = (found.first, found.second)
            if not any(one.tensor in self._bytes for one in summands):
                return False
            first, second = (self._bytes_of(one.tensor, one.affine) for one in summands)
            layer: ByteLayer = _addition(name, first, second, found, affine)
            self._add_ours(ADD_BYTES, [first, second], output, None, _addition_constants(layer))
        elif isinstance(found, Average):
            if found.source.tensor not in self._bytes:
                return False
            source = self._bytes[found.source.tensor]
            layer = self._average(name, source, found, affine)
            shape = (1, 1, 1, self._builder.types[source].shape[3])
            stage = _stage_constants(output, layer.output)
            self._add_ours(AVERAGE_BYTES, [source], output, shape, stage)
        else:
            return self._emit_table(name, tensor, found, affine)
        self._remember(tensor, affine, output, layer)
        return True

    def _emit_table(self, name: str, tensor: str, found: Table, affine: Affine) -> bool:
        source = found.source
        if found.affine is not None:
            if source not in self._bytes:
                return False
            source = self._bytes[source]
        if (found.table == np.arange(256)).all():
            self._remember(tensor, affine, source)
            return True
        layer = MapBytes(name, source, found.table)
        _, height, width, channels = self._builder.types[source].shape
        self._formats[source] = Image((height, width, channels))
        starts = np.arange(channels, dtype=np.int32) % len(found.table) * 256
        constants = {"starts": starts, "table": found.table.ravel()}
        self._add_ours(MAP_BYTES, [source], _name_of(tensor), None, constants)
        self._remember(tensor, affine, _name_of(tensor), layer)
        return True

    def _average(self, name: str, source: str, found: Average, affine: Affine) -> AverageBytes:
        _, height, width, channels = self._builder.types[source].shape
        before = found.source.affine
        factor = before.scale / np.float32(affine.scale * np.float32(height * width))
        stage = Rescale(
            bias=np.full(channels, -height * width * before.middle, np.int32),
            multiplier=np.full(channels, factor, np.float32),
            zero=affine.middle,
        )
        return AverageBytes(name, source, stage)

    def _add_ours(
        self,
        function: str,
        inputs: list[str],
        output: str,
        shape: tuple[int, ...] | None,
        constants: Mapping[str, Any],
    ) -> None:
        """A node of our domain that gives uint8, of its input's shape unless it has another."""
        kind = TensorType(shape or self._builder.types[inputs[0]].shape, UINT8)
        named = {f"{output}.{key}": np.asarray(value) for key, value in constants.items()}
        self._builder.add(function, inputs, output, kind, constants=named, domain=DOMAIN)

    def _remember(
        self,
        tensor: str,
        affine: Affine,
        ours: str,
        layer: Convolution | ByteLayer | None = None,
    ) -> None:
        """That ``ours``, which ``layer`` writes, is the file's ``tensor``; give it to the rest."""
        _, height, width, channels = self._builder.types[ours].shape
        form = Image((height, width, channels))
        self._bytes[tensor], self._affines[tensor] = ours, affine
        self._formats[ours] = form
        if layer is not None:
            self._layers[ours] = layer
            self._formats[layer.name] = form
        row = NodeRow(self._builder, ours, f"{tensor}.original.", form.shape)
        if affine.offset:
            row.step("Cast", to=INT32, element=INT32)
            row.step("Sub", np.array(affine.offset, np.int32), element=INT32)
            row.step("Cast", to=INT8, element=INT8)
        row.finish(tensor)


def _name_of(tensor: str) -> str:
    return f"{tensor}.nhwc"


def _rescale(found: EightBit, offset: NDArray[np.int64]) -> Rescale:
    assert found.after is not None
    affine = found.after.affine
    return Rescale(
        bias=offset.astype(np.int32),
        multiplier=np.asarray(found.sum_scale / affine.scale, np.float32),
        zero=affine.middle,
        low=affine.middle if found.after.relu else 0,
    )


def _stage_constants(output: str, stage: Rescale) -> dict[str, NDArray[Any]]:
    limits = {"zero": stage.zero, "low": stage.low, "high": stage.high}
    return {
        "bias": stage.bias,
        "multiplier": stage.multiplier,
        **{key: np.array(value, np.float32) for key, value in limits.items()},
    }


def _addition(name: str, first: str, second: str, found: Addition, affine: Affine) -> AddBytes:
    """With the constants of ONNX Runtime's kernel for AVX2, each step rounded as there."""
    ratio, other = (one.affine.scale / affine.scale for one in (found.first, found.second))
    zero, other_zero = (np.float32(one.affine.zero) for one in (found.first, found.second))
    inner = np.float64(ratio) * np.float64(zero) + np.float64(np.float32(other * other_zero))
    fixed = np.float32(affine.zero) - np.float32(inner)
    return AddBytes(name, first, second, ratio, other, fixed, affine.offset)


def _addition_constants(layer: ByteLayer) -> dict[str, NDArray[Any]]:
    assert isinstance(layer, AddBytes)
    values = {"ratio": layer.ratio, "other_ratio": layer.other_ratio, "fixed": layer.fixed}
    values |= {"offset": np.float32(layer.offset)}
    return {key: np.array(value, np.float64) for key, value in values.items()}
