"""Putting our layers in the place of what was found."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bitat_deploy.foreign.binarized import CONVOLUTIONS, Binarized, Finder
from bitat_deploy.foreign.exact import with_whole_sums
from bitat_deploy.foreign.functions import QUANTIZE_FLOAT, mixed_functions
from bitat_deploy.foreign.graph import Graph, TensorType
from bitat_deploy.foreign.layers import (
    copies_of_codes,
    float_quantizer,
    fused_layer,
    padding_level,
    sums_layer,
)
from bitat_deploy.foreign.mixed_network import QuantizeFloat
from bitat_deploy.foreign.windows import Pool
from bitat_deploy.network import (
    Codes,
    Convolution,
    Format,
    MaxPool,
    Quantize,
    output_format,
    packed_bytes,
)
from bitat_deploy.onnx_format import DOMAIN, convolution_function


@dataclass(frozen=True, eq=False)
class Rewritten:
    """A graph with our layers in it; the fields are those of a MixedNetwork.

    ``exact`` is the original but for the sums of what was replaced, which are of whole numbers.
    """

    graph: Graph
    exact: Graph
    layers: dict[str, QuantizeFloat | Convolution | MaxPool]
    formats: dict[str, Format]
    reasons: dict[str, str]
    notes: dict[str, str]


def rewrite(graph: Graph, with_zeros: Collection[str]) -> Rewritten:
    """Replace convolutions that are few-valued, and quantizers before them, by our layers.

    ``with_zeros`` are the tensors in which a picture has made a 0.
    """
    return _Rewriter(graph, with_zeros).rewrite()


class _Rewriter:
    def __init__(self, graph: Graph, with_zeros: Collection[str]) -> None:
        self._graph = graph
        self._finder = Finder(graph, with_zeros)
        self._readers = graph.readers()
        self._reasons: dict[str, str] = {}
        self._notes: dict[str, str] = {}
        self._accepted: dict[str, tuple[Binarized, Convolution]] = {}
        self._quantizers: dict[str, QuantizeFloat] = {}
        self._layers: dict[str, QuantizeFloat | Convolution | MaxPool] = {}
        self._formats: dict[str, Format] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}
        self._types: dict[str, TensorType] = {}

    def rewrite(self) -> Rewritten:
        for node in reversed(self._graph.nodes):  # readers are known before what they read
            if node.op_type in CONVOLUTIONS:
                self._accept(node)
        for node in self._graph.nodes:
            if node.name in self._accepted:
                self._emit(*self._accepted[node.name])
            else:
                self._nodes.append(node)
        graph = replace(
            self._graph,
            nodes=tuple(self._nodes),
            constants=self._graph.constants | self._constants,
            types=self._graph.types | self._types,
            functions=mixed_functions(self._graph.opset) if self._accepted else (),
            dequantized={},
        ).without_dead_nodes()
        written = set(graph.producers())
        layers = {key: layer for key, layer in self._layers.items() if key in written}
        found = [binarized for binarized, _ in self._accepted.values()]
        exact = with_whole_sums(self._graph, found)
        return Rewritten(graph, exact, layers, self._formats, self._reasons, self._notes)

    def _accept(self, node: onnx.NodeProto) -> None:
        found = self._finder.binarized(node)
        if isinstance(found, str):
            self._reasons[node.name] = found
            return
        level = padding_level(found)
        if level is None:
            self._reasons[node.name] = "its border is padded with a value that is no level"
            return
        layer = sums_layer(found, self._read_codes(found), level)
        source = float_quantizer(self._graph, found, self._codes_name(found))
        try:
            formats: dict[str, Format] = {source.name: source.codes}
            if found.pool is not None:
                pool = self._pool_layer(found.pool, found)
                formats[pool.name] = output_format(pool, formats)
            output_format(layer, formats)
        except ValueError as error:
            self._reasons[node.name] = str(error)
            return
        self._accepted[node.name] = found, self._fused(found, layer) or layer
        self._quantizers[source.name] = source
        self._note(found)

    def _note(self, found: Binarized) -> None:
        notes = []
        if found.quantizer.sign_of_zero:
            notes.append("Sign of 0 is taken as +1, and no picture of the check met a 0")
        if copies_of_codes(found) > 1:
            notes.append(f"computed on {copies_of_codes(found)} copies of its input's channels")
        if notes:
            self._notes[found.node.name] = "; ".join(notes)

    @staticmethod
    def _codes_name(found: Binarized) -> str:
        """The codes' tensor: one for all that read the same quantizer in the same way."""
        copies, groups = len(found.weight.copies), found.window.groups
        suffix = "" if copies_of_codes(found) == 1 else f".{copies}x{groups}"
        return f"{found.quantizer.tensor}.codes{suffix}"

    def _read_codes(self, found: Binarized) -> str:
        """The codes that the convolution reads: after its pool, where it has one."""
        codes = self._codes_name(found)
        return codes if found.pool is None else self._pool_layer(found.pool, found).name

    def _pool_layer(self, pool: Pool, found: Binarized) -> MaxPool:
        codes = self._codes_name(found)
        name = f"{codes}.{pool.node.name}"
        return MaxPool(name, codes, pool.kernel, pool.stride, pool.padding)

    def _fused(self, found: Binarized, layer: Convolution) -> Convolution | None:
        """The convolution with its quantizer, where all that reads it reads the same codes."""
        readers = self._accepted_readers(found)
        if not readers:
            return None
        quantizer = readers[0].quantizer
        if any(copies_of_codes(reader) != 1 for reader in readers):
            return None
        return fused_layer(self._graph, found, quantizer, layer)

    def _accepted_readers(self, found: Binarized) -> list[Binarized]:
        """Convolutions that read the quantizer after ``found``; none where others read too."""
        after = [
            reader
            for reader, _ in self._accepted.values()
            if reader.quantizer.chain.root == found.output
        ]
        if not after or len({reader.quantizer.tensor for reader in after}) != 1:
            return []
        quantizer = after[0].quantizer
        inside = {node.name for node in quantizer.chain.nodes}
        allowed = {reader.node.name for reader in after}
        allowed |= {name for reader in after for name in reader.between}
        for tensor in {found.output, *quantizer.chain.inner}:
            names = {node.name for node in self._readers.get(tensor, [])}
            permitted = allowed if tensor == quantizer.tensor else inside
            if tensor == self._graph.output or not names <= permitted:
                return []
        for reader in after:
            for name in reader.between:
                (node,) = [n for n in self._graph.nodes if n.name == name]
                names = {n.name for n in self._readers.get(node.output[0], [])}
                if not names <= allowed:
                    return []
        return after

    def _emit(self, found: Binarized, layer: Convolution) -> None:
        codes_name = self._codes_name(found)
        if codes_name not in self._layers:
            self._emit_quantizer(self._quantizers[codes_name])
        if found.pool is not None and layer.input not in self._layers:
            self._emit_pool(self._pool_layer(found.pool, found))
        codes = self._formats[layer.input]
        assert isinstance(codes, Codes)
        fused = isinstance(layer.output, Quantize)
        form = output_format(layer, self._formats)
        output, weight_name = f"{layer.name}.sums", f"{layer.name}.levels"
        function, attributes, weight = convolution_function(layer, codes)
        node = helper.make_node(
            function,
            [layer.input, weight_name],
            [output],
            name=layer.name,
            domain=DOMAIN,
            **attributes,
        )
        kind = TensorType((1, *form.shape), int(TensorProto.INT32))
        self._add(node, {weight_name: weight}, kind)
        if isinstance(layer.output, Quantize):
            assert isinstance(form, Codes)
            output = f"{self._quantizer_after(found)}.codes"
            stage = layer.output
            name = f"{layer.name}.quantize"
            node = helper.make_node(
                "Quantize",
                [f"{layer.name}.sums", f"{name}.thresholds"],
                [output],
                name=name,
                domain=DOMAIN,
                bits=stage.bits,
                signed=int(stage.signed),
            )
            thresholds = {f"{name}.thresholds": stage.thresholds}
            self._add(node, thresholds, _packed_type(form))
        self._layers[output] = layer
        self._formats |= {output: form, layer.name: form}
        if not fused:
            self._emit_scaling(found, output)

    def _quantizer_after(self, found: Binarized) -> str:
        return self._accepted_readers(found)[0].quantizer.tensor

    def _emit_quantizer(self, layer: QuantizeFloat) -> None:
        source = layer.input
        if len(self._graph.types[source].shape) == 2:
            source = f"{layer.name}.input"
            axes = {f"{source}.axes": np.array([2, 3], np.int64)}
            node = helper.make_node(
                "Unsqueeze", [layer.input, f"{source}.axes"], [source], name=source
            )
            shape = (1, *layer.input_shape)
            self._add(node, axes, TensorType(shape, int(TensorProto.FLOAT)))
            layer = replace(layer, input=source)
        constants: dict[str, NDArray[Any]] = {
            f"{layer.name}.channel": layer.channel,
            f"{layer.name}.sign": layer.sign,
            f"{layer.name}.thresholds": layer.thresholds,
        }
        node = helper.make_node(
            QUANTIZE_FLOAT,
            [source, *constants],
            [layer.name],
            name=layer.name,
            domain=DOMAIN,
            bits=layer.bits,
        )
        self._add(node, constants, _packed_type(layer.codes))
        self._layers[layer.name] = layer
        self._formats[layer.name] = layer.codes

    def _emit_pool(self, layer: MaxPool) -> None:
        codes = self._formats[layer.input]
        assert isinstance(codes, Codes)
        form = output_format(layer, self._formats)
        assert isinstance(form, Codes)
        node = helper.make_node(
            "MaxPoolCodes",
            [layer.input],
            [layer.name],
            name=layer.name,
            domain=DOMAIN,
            channels=codes.shape[2],
            bits=codes.bits,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            pads=[layer.padding] * 4,
        )
        self._add(node, {}, _packed_type(form))
        self._layers[layer.name] = layer
        self._formats[layer.name] = form

    def _emit_scaling(self, found: Binarized, sums: str) -> None:
        """Sums int32 [1, H, W, O] to what the original convolution writes."""
        name, rank = found.node.name, len(self._graph.types[found.output].shape)
        sizes = self._types[sums].shape
        real = f"{name}.real"
        kind = TensorType(sizes, int(TensorProto.FLOAT))
        self._add(helper.make_node("Cast", [sums], [real], name=real, to=1), {}, kind)
        constants: dict[str, NDArray[Any]] = {f"{name}.scale": found.scale}
        steps = ["Mul"]
        if found.bias is not None:
            constants[f"{name}.bias"] = found.bias
            steps.append("Add")
        current = real
        for operator, constant in zip(steps, list(constants), strict=True):
            output = f"{constant}d"
            node = helper.make_node(operator, [current, constant], [output], name=output)
            self._add(node, {constant: constants[constant]}, kind)
            current = output
        last = f"{name}.nchw"
        if rank == 2:
            shape = {f"{last}.shape": np.array([1, sizes[3]], np.int64)}
            node = helper.make_node(
                "Reshape", [current, f"{last}.shape"], [found.output], name=last
            )
            self._add(node, shape, self._graph.types[found.output])
            return
        node = helper.make_node(
            "Transpose", [current], [found.output], name=last, perm=[0, 3, 1, 2]
        )
        self._add(node, {}, self._graph.types[found.output])

    def _add(
        self, node: onnx.NodeProto, constants: dict[str, NDArray[Any]], kind: TensorType
    ) -> None:
        self._nodes.append(node)
        self._constants |= constants
        self._types[node.output[0]] = kind


def _packed_type(codes: Codes) -> TensorType:
    height, width, channels = codes.shape
    size = codes.bits * packed_bytes(channels)
    return TensorType((1, height, width, size), int(TensorProto.UINT8))
