"""Putting our 8-bit convolution in the place of those of int8 files.

It reads uint8, NHWC, and gives the int32 sums; what follows it, in standard operators, is the
requantization, of which every step is exact or rounds once. Two such layers after each other hand
over uint8 in NHWC; transposed copies that nobody reads fall away.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bitat_deploy.foreign.binarized import CONVOLUTIONS
from bitat_deploy.foreign.eight_bit import EightBit, Requantization, find_eight_bit
from bitat_deploy.foreign.functions import mixed_functions
from bitat_deploy.foreign.graph import TensorType
from bitat_deploy.foreign.rewrite import Rewritten
from bitat_deploy.network import IMAGE_WEIGHT_BITS, Convolution, Image, Sums, output_format
from bitat_deploy.onnx_format import DOMAIN, convolution_function

_INT32_MAX = np.iinfo(np.int32).max
_FLOAT, _UINT8, _INT32 = (
    int(kind) for kind in (TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT32)
)
_REQUANTIZES = "it rescales the sums of the 8-bit layer before it"


def with_eight_bit_layers(rewritten: Rewritten) -> Rewritten:
    """The same with our layers for convolutions of 8-bit weights on 8-bit inputs, where it can."""
    return _Rewriter(rewritten).rewrite()


class _Rewriter:
    def __init__(self, rewritten: Rewritten) -> None:
        self._rewritten = rewritten
        self._graph = rewritten.graph
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}
        self._types = dict(self._graph.types)
        self._layers = dict(rewritten.layers)
        self._formats = dict(rewritten.formats)
        self._reasons = dict(rewritten.reasons)

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
                self._nodes.append(node)
        graph = replace(
            self._graph,
            nodes=tuple(self._nodes),
            constants=self._graph.constants | self._constants,
            types=self._types,
            functions=mixed_functions(self._graph.opset) if self._layers else (),
        ).without_dead_nodes()
        return replace(
            self._rewritten,
            graph=graph,
            layers=self._layers,
            formats=self._formats,
            reasons=self._reasons,
        )

    def _emit(self, found: EightBit) -> str | None:
        """Add the nodes of a layer, or say why it is none."""
        kind = self._graph.types[found.source].shape
        channels, height, width = kind[1:] if len(kind) == 4 else (kind[1], 1, 1)
        zero, padding = found.affine.zero + found.affine.offset, found.window.padding
        border = padding if zero else 0  # our convolution pads with the code 0
        source = f"{found.source}.nhwc" + (f".padded{border}" if border else "")
        image = Image((height + 2 * border, width + 2 * border, channels))
        layer = Convolution(
            name=found.node.name,
            input=source,
            weight=np.ascontiguousarray(found.weight.transpose(0, 2, 3, 1)),
            weight_bits=IMAGE_WEIGHT_BITS,
            output=Sums(),
            stride=found.window.stride,
            padding=padding - border,
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
        if source not in self._types:
            self._emit_source(found, source, image, border, zero)
        sums = f"{layer.name}.sums"
        function, values, weight = convolution_function(layer, image)
        self._constants[f"{layer.name}.levels"] = weight
        node = helper.make_node(
            function,
            [source, f"{layer.name}.levels"],
            [sums],
            name=layer.name,
            domain=DOMAIN,
            **values,
        )
        self._append(node, (1, *form.shape), _INT32)
        self._layers[sums] = layer
        inside = Image((height, width, channels))
        self._formats |= {f"{found.source}.nhwc": inside, source: image}
        self._formats |= {layer.name: form, sums: form}
        current = _Chain(self, sums, f"{layer.name}.", form.shape)
        if offset.any():
            current.step("Add", offset.astype(np.int32), element=_INT32)
        self._reasons[f"{layer.name}.0"] = _REQUANTIZES
        current.step("Cast", to=_FLOAT)
        if found.after is not None:
            self._emit_requantization(current, found, found.after)
            return None
        current.step("Mul", found.sum_scale)
        if not whole:
            current.step("Add", np.asarray(found.bias, np.float32))
        current.finish(found.node.output[0])
        return None

    def _emit_source(
        self, found: EightBit, name: str, image: Image, border: int, zero: int
    ) -> None:
        """The quantized tensor as uint8 in NHWC, with a border of the code of 0."""
        inner = f"{found.source}.nhwc"
        height, width, channels = image.shape
        shape = (1, height - 2 * border, width - 2 * border, channels)
        if inner not in self._types:
            self._emit_channels_last(found, inner, shape)
        if border:
            pads, value = f"{name}.pads", f"{name}.value"
            self._constants[pads] = np.array([0, border, border, 0] * 2, np.int64)
            self._constants[value] = np.array(zero, np.uint8)
            node = helper.make_node("Pad", [inner, pads, value], [name], name=name)
            self._append(node, (1, *image.shape), _UINT8)

    def _emit_channels_last(self, found: EightBit, name: str, shape: tuple[int, ...]) -> None:
        chain = _Chain(self, found.source, f"{name}.", shape[1:])
        if found.affine.offset:
            chain.step("Cast", to=_INT32, element=_INT32, like=found.source)
            offset = np.array(found.affine.offset, np.int32)
            chain.step("Add", offset, element=_INT32, like=found.source)
            chain.step("Cast", to=_UINT8, element=_UINT8, like=found.source)
        if len(self._graph.types[found.source].shape) == 2:
            self._constants[f"{name}.shape"] = np.array(shape, np.int64)
            node = helper.make_node("Reshape", [chain.current, f"{name}.shape"], [name], name=name)
        else:
            node = helper.make_node(
                "Transpose", [chain.current], [name], name=name, perm=[0, 2, 3, 1]
            )
        self._append(node, shape, _UINT8)

    def _emit_requantization(self, chain: "_Chain", found: EightBit, after: Requantization) -> None:
        affine = after.affine
        chain.step("Mul", np.asarray(found.sum_scale / affine.scale, np.float32))
        chain.step("Round")
        limits = (-128, 127) if affine.offset else (0, 255)
        low = max(limits[0], affine.zero) if after.relu else limits[0]
        if affine.zero:
            chain.step("Add", np.array(affine.zero, np.float32))
        chain.step("Clip", np.array(low, np.float32), np.array(limits[1], np.float32))
        chain.step("Cast", to=affine.element, element=affine.element)
        if not affine.offset and len(self._graph.types[after.tensor].shape) == 4:
            chain.rename(f"{after.tensor}.nhwc")
        chain.finish(after.tensor)

    def _append(self, node: onnx.NodeProto, shape: tuple[int, ...], element: int) -> None:
        self._nodes.append(node)
        self._types[node.output[0]] = TensorType(shape, element)


class _Chain:
    """Elementwise nodes one after the other, of tensors NHWC of ``shape`` unless told otherwise."""

    def __init__(self, owner: _Rewriter, start: str, prefix: str, shape: tuple[int, ...]) -> None:
        self._owner, self._prefix, self._shape = owner, prefix, (1, *shape)
        self._count = 0
        self.current = start

    def step(
        self,
        operator: str,
        *constants: NDArray[Any],
        element: int = _FLOAT,
        like: str | None = None,
        **values: Any,
    ) -> None:
        """One more operator; ``like`` names a tensor of the shape that it has."""
        name = f"{self._prefix}{self._count}"
        self._count += 1
        names = [f"{name}.constant{index}" for index in range(len(constants))]
        self._owner._constants |= dict(zip(names, constants, strict=True))
        node = helper.make_node(operator, [self.current, *names], [name], name=name, **values)
        shape = self._shape if like is None else self._owner._types[like].shape
        self._owner._append(node, shape, element)
        self.current = name

    def rename(self, name: str) -> None:
        """Give the last tensor another name."""
        self._owner._types[name] = self._owner._types.pop(self.current)
        self._owner._nodes[-1].output[0] = name
        self.current = name

    def finish(self, tensor: str) -> None:
        """NHWC to the shape that the original ``tensor`` has."""
        kind = self._owner._graph.types[tensor]
        name = f"{self._prefix}original"
        if len(kind.shape) == 4:
            node = helper.make_node(
                "Transpose", [self.current], [tensor], name=name, perm=[0, 3, 1, 2]
            )
        else:
            self._owner._constants[f"{name}.shape"] = np.array(kind.shape, np.int64)
            node = helper.make_node("Reshape", [self.current, f"{name}.shape"], [tensor], name=name)
        self._owner._append(node, kind.shape, kind.element)
