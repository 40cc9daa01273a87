"""Replaces the recognised convolutions by our layers."""

from collections.abc import Collection
from dataclasses import dataclass

import onnx

from bitat_deploy.foreign.binarized import CONVOLUTIONS, Binarized, Finder
from bitat_deploy.foreign.exact import with_whole_sums
from bitat_deploy.foreign.functions import mixed_functions
from bitat_deploy.foreign.graph import Graph, multiply_accumulates
from bitat_deploy.foreign.graph_builder import FLOAT, GraphBuilder, NodeRow
from bitat_deploy.foreign.layer_nodes import (
    add_convolution,
    add_pool,
    add_quantize,
    add_quantizer,
)
from bitat_deploy.foreign.layers import (
    copies_of_codes,
    float_quantizer,
    fused_layer,
    sums_layer,
)
from bitat_deploy.foreign.mixed_network import FileLayer
from bitat_deploy.foreign.windows import Pool
from bitat_deploy.network import (
    ByteLayer,
    Codes,
    Convolution,
    Format,
    MaxPool,
    Quantize,
    QuantizeFloat,
    output_format,
)


@dataclass(frozen=True, eq=False)
class Rewritten:
    """A graph with our layers in it; the fields are those of a MixedNetwork.

    ``exact`` is the original but for the sums of what was replaced, which are of whole numbers.
    """

    graph: Graph
    exact: Graph
    layers: dict[str, QuantizeFloat | Convolution | MaxPool | ByteLayer]
    formats: dict[str, Format]
    reasons: dict[str, str]
    in_file: dict[str, FileLayer]


def rewrite(graph: Graph, with_zeros: Collection[str]) -> Rewritten:
    """Replace recognised convolutions, and the quantizers before them, by our layers.

    ``with_zeros`` are the tensors in which some picture produced a 0.
    """
    return _Rewriter(graph, with_zeros).rewrite()


class _Rewriter:
    def __init__(self, graph: Graph, with_zeros: Collection[str]) -> None:
        self._graph = graph
        self._finder = Finder(graph, with_zeros)
        self._readers = graph.readers()
        self._reasons: dict[str, str] = {}
        self._in_file: dict[str, FileLayer] = {}
        self._accepted: dict[str, tuple[Binarized, Convolution]] = {}
        self._quantizers: dict[str, QuantizeFloat] = {}
        self._layers: dict[str, QuantizeFloat | Convolution | MaxPool | ByteLayer] = {}
        self._formats: dict[str, Format] = {}
        self._builder = GraphBuilder(graph)

    def rewrite(self) -> Rewritten:
        for node in reversed(self._graph.nodes):  # readers are known before what they read
            if node.op_type in CONVOLUTIONS:
                self._accept(node)
        for node in self._graph.nodes:
            if node.name in self._accepted:
                self._emit(*self._accepted[node.name])
            else:
                self._builder.keep(node)
        functions = mixed_functions(self._graph.opset) if self._accepted else ()
        graph = self._builder.finished(functions)
        written = set(graph.producers())
        layers = {key: layer for key, layer in self._layers.items() if key in written}
        found = [binarized for binarized, _ in self._accepted.values()]
        exact = with_whole_sums(self._graph, found)
        return Rewritten(graph, exact, layers, self._formats, self._reasons, self._in_file)

    def _accept(self, node: onnx.NodeProto) -> None:
        found = self._finder.binarized(node)
        if isinstance(found, str):
            self._reasons[node.name] = found
            return
        layer = sums_layer(found, self._read_codes(found))
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
        weight, codes = found.weight, found.quantizer.codes
        self._in_file[node.name] = FileLayer(
            weight_bits=weight.bits + (len(weight.copies) > 1),  # even levels too
            activation_bits=codes.bits + (len(codes.starts) > 1),
            macs=multiply_accumulates(self._graph, node),
            notes=self._notes(found),
        )

    @staticmethod
    def _notes(found: Binarized) -> tuple[str, ...]:
        notes = []
        if found.quantizer.sign_of_zero is not None:
            notes.append(
                "Sign of 0 is 0, as a picture of the check met it"
                if found.quantizer.sign_of_zero
                else "Sign of 0 is taken as +1, as no picture of the check met a 0"
            )
        if found.of_inputs is not None:
            notes.append("the sum of its inputs is added for the offset of its weights")
        if found.of_border:
            notes.append("a constant for each pixel is added for the offset of its input")
        if copies_of_codes(found) > 1:
            notes.append(f"computed on {copies_of_codes(found)} copies of its input's channels")
        return tuple(notes)

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
        return fused_layer(found, quantizer, layer)

    def _accepted_readers(self, found: Binarized) -> list[Binarized]:
        """Convolutions that read the quantizer after ``found``; none if anything else reads it."""
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
            quantizer = add_quantizer(self._builder, self._quantizers[codes_name])
            self._remember(codes_name, quantizer, quantizer.codes)
        codes = self._formats[codes_name]
        assert isinstance(codes, Codes)
        if found.pool is not None:
            pool = self._pool_layer(found.pool, found)
            pooled = output_format(pool, self._formats)
            assert isinstance(pooled, Codes)
            if pool.name not in self._layers:
                add_pool(self._builder, pool, codes, pooled)
                self._remember(pool.name, pool, pooled)
            codes = pooled
        form = output_format(layer, self._formats)
        sums = add_convolution(self._builder, layer, codes, form)
        self._formats[layer.name] = form
        if isinstance(layer.output, Quantize):
            assert isinstance(form, Codes)
            output = f"{self._accepted_readers(found)[0].quantizer.tensor}.codes"
            add_quantize(self._builder, layer.name, layer.output, sums, output, form)
            self._remember(output, layer, form)
        else:
            self._remember(sums, layer, form)
            self._scale(found, sums, form)

    def _remember(
        self, tensor: str, layer: QuantizeFloat | Convolution | MaxPool, form: Format
    ) -> None:
        """That ``tensor`` is written by a layer of ours."""
        self._layers[tensor] = layer
        self._formats[tensor] = form

    def _scale(self, found: Binarized, sums: str, form: Format) -> None:
        """Convert sums int32 [1, H, W, O] to the original convolution's output."""
        shape = (*form.shape[:2], len(found.scale))
        row = NodeRow(self._builder, sums, f"{found.node.name}.scaling", form.shape)
        constant = found.constant
        if found.of_inputs is None:
            row.step("Cast", to=FLOAT)
            row.step("Mul", found.scale)
        else:
            # Of each group the last sum is that of its inputs.
            groups, per_group = found.window.groups, shape[2] // found.window.groups
            inputs = NodeRow(self._builder, sums, f"{found.node.name}.inputs", form.shape)
            for some, start, factor in (
                (inputs, per_group, found.of_inputs),
                (row, 0, found.scale),
            ):
                end = per_group + 1 if start else per_group
                some.reshape((*shape[:2], groups, per_group + 1))
                some.slice_last(start, end)
                some.step("Cast", to=FLOAT)
                factors = factor.reshape(groups, per_group)
                some.step("Mul", factors, shape=(*shape[:2], groups, per_group))
            row.step("Add", other=inputs.current)
            row.reshape(shape)
        if constant is not None:
            row.step("Add", constant if constant.ndim == 1 else constant.transpose(1, 2, 0))
        row.finish(found.output)
