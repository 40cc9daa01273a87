"""Classifier: int32 counts times int8 weights plus an int32 bias, times one float scale.

Algebra. logits = float32(x @ weight.T + bias) * scale: the sum is an exact int32; its conversion
and the multiplication round once each, so the result equals numpy's bit for bit. Where the format
of the counts says that they fit, they are narrowed first, to what :class:`.NarrowProducts` takes;
as uint8 they are x + 128, and 128 * (sum of weights) is taken off the bias.

Layout. Lanes are classes, the counts are broadcast, nothing is added across lanes. Narrow: weights
are [tile][step][vector][lane][value], a tile being up to four vectors, which share the broadcast;
for 32 classes and four counts 8 ``sdot`` and 8 loads, or without dot products 16 ``smull`` and
``smlal`` with 16 loads of 8 bytes, and 8 ``sadalp`` for every chain of steps. Wide:
[vector][channel][lane], one widening load, one multiplication and one addition for each vector.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Format, QuantizedDense
from bitat_deploy.operators.narrow_products import NarrowProducts
from bitat_deploy.operators.operator import Operator
from bitat_deploy.operators.vector_code import (
    for_vectors,
    load,
    parts,
    splat,
    store,
    vector_dtype,
)
from bitat_deploy.target import Target

_TILE = 4  # vectors of classes
_UNROLLED = 4  # steps in straight-line code, about


class Int8Dense(Operator):
    """Dense layer from int32 [1, channels] to float32 [1, classes], with int8 weights."""

    kind = "quantized_dense"
    layer: QuantizedDense

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All classifiers."""
        return isinstance(layer, QuantizedDense)

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Weights in the layout above, flat; bias [vectors * lanes]; scale [1]."""
        lanes, values, steps = self._lanes, self._values, self._steps
        weight = np.zeros((self._vectors * lanes, steps * values), np.int8)
        weight[: self.classes, : self.channels] = self.layer.weight
        bias = np.zeros(self._vectors * lanes, np.int64)
        bias[: self.classes] = self.layer.bias
        bias -= self._offset * weight.astype(np.int64).sum(axis=1)
        by_vector = weight.reshape(self._vectors, lanes, steps, values).transpose(0, 2, 1, 3)
        tiles = [by_vector[first : first + _TILE] for first in range(0, self._vectors, _TILE)]
        flat = np.concatenate([tile.swapaxes(0, 1).ravel() for tile in tiles])
        # What leaves int32 here comes back as the counts' 128 are added: sums are modulo 2^32.
        return flat, bias.astype(np.int32), np.array([self.layer.scale], np.float32)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The same in plain numpy."""
        sums = x @ self.layer.weight.astype(np.int32).T + self.layer.bias
        return sums.astype(np.float32) * np.float32(self.layer.scale)

    def _workload_details(self) -> tuple[str, ...]:
        return (f"limit:{self.source.limit}",)

    @property
    def classes(self) -> int:
        """Outputs."""
        return self.layer.weight.shape[0]

    @property
    def _products(self) -> NarrowProducts:
        return NarrowProducts(self.target)

    @property
    def _is_narrow(self) -> bool:
        """Whether the counts fit into the type of narrow products."""
        dtype = "int16" if self._products.dtype == "int16" else "int8"
        return bool(self.source.limit <= np.iinfo(dtype).max)

    @property
    def _offset(self) -> int:
        return 128 if self._is_narrow and self._products.dtype == "uint8" else 0

    @property
    def _lanes(self) -> int:
        return self._products.lanes

    @property
    def _values(self) -> int:
        return self._products.values if self._is_narrow else 1

    @property
    def _steps(self) -> int:
        return -(-self.channels // self._values)

    @property
    def _vectors(self) -> int:
        return -(-self.classes // self._lanes)

    def emit(self, x: Any, weight: Any, bias: Any, scale: Any, y: Any) -> None:
        """Tile by tile of classes; the last vector may be written in part."""
        lanes = self._lanes
        counts = self._emit_narrowed(x) if self._is_narrow else x
        full = self.classes // (_TILE * lanes)

        def emit_tile(tile: Any, vectors: int) -> None:
            sums = self._emit_sums(counts, weight, bias, tile, vectors)
            for vector, total in enumerate(sums):
                first = (tile * _TILE + vector) * lanes
                logits = T.cast(total, f"float32x{lanes}") * T.broadcast(scale[0], lanes)
                real = min(lanes, self.classes - first) if isinstance(tile, int) else lanes
                self._emit_store(y, first, logits, real)

        if full:
            operations = self._vectors * self._steps
            with parts(full, self.target, operations) as tile:
                emit_tile(tile, _TILE)
        if self._vectors > full * _TILE:
            emit_tile(full, self._vectors - full * _TILE)

    def _emit_narrowed(self, x: Any) -> Any:
        """The counts in the type of the products, padded with zeros, which meet weights of 0."""
        dtype = self._products.dtype
        size = self._steps * self._values
        narrowed = T.alloc_buffer([size + self._products.slack], dtype)

        def emit(offset: Any, lanes: int) -> None:
            value = load(x, offset, lanes) + splat(self._offset, "int32", lanes)
            store(narrowed, offset, T.cast(value, vector_dtype(dtype, lanes)), lanes)

        for_vectors(self.channels, 2 * self.target.vector_bytes // 4, emit)
        for spare in range(self.channels, size + self._products.slack):
            store(narrowed, spare, splat(0, dtype, 1), 1)
        return narrowed

    def _emit_sums(self, x: Any, weight: Any, bias: Any, tile: Any, vectors: int) -> list[Any]:
        """A vector of int32 sums for each vector of classes of the tile."""
        lanes, values = self._lanes, self._values
        sums = [T.alloc_buffer([lanes], "int32") for _ in range(vectors)]
        for vector, buffer in enumerate(sums):
            store(buffer, 0, load(bias, (tile * _TILE + vector) * lanes, lanes), lanes)
        size = lanes * values
        start = tile * (_TILE * self._steps * size)
        chain = self._products.chain(self.source.limit * 128) if self._is_narrow else 1

        def emit(first: Any, count: int) -> None:
            if self._is_narrow:
                few = self._products.load_values(x, first * values, count)
            for begin in range(0, count, chain):
                end = min(begin + chain, count)
                for vector, buffer in enumerate(sums):
                    total = load(buffer, 0, lanes)
                    places = [
                        start + ((first + step) * vectors + vector) * size
                        for step in range(begin, end)
                    ]
                    if self._is_narrow:
                        weights = [self._products.load_weights(weight, p) for p in places]
                        pairs = list(zip(few[begin:end], weights, strict=True))
                        total = self._products.emit_sum(total, pairs)
                    else:
                        weights = T.cast(load(weight, places[0], size), f"int32x{lanes}")
                        total = total + T.broadcast(x[first + begin], lanes) * weights
                    store(buffer, 0, total, lanes)

        block = chain * max(1, _UNROLLED // chain)
        full, rest = divmod(self._steps, block)
        if full:
            with T.serial(full) as index:
                emit(index * block, block)
        if rest:
            emit(full * block, rest)
        return [load(buffer, 0, lanes) for buffer in sums]

    def _emit_store(self, y: Any, first: Any, logits: Any, real: int) -> None:
        """Write the first ``real`` logits of a vector."""
        lanes = self._lanes
        if real == lanes:
            store(y, first, logits, lanes)
            return
        spill = T.alloc_buffer([lanes], "float32")
        store(spill, 0, logits, lanes)
        for lane in range(real):
            T.buffer_store(y, spill[lane], [first + lane])
