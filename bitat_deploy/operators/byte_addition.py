"""Sum of two tensors of bytes with a scale each: the shortcuts of int8 files.

Lanes follow each other in memory, whatever their channel. Of each: two conversions to float32, two
fused multiplications and additions, and the rounding of :func:`.output_stage.rounded`. ``llvm.fma``
is one instruction on every target with it, and the same number on those without.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import AddBytes, Format, add_bytes
from bitat_deploy.operators.operator import Operator
from bitat_deploy.operators.output_stage import rounded
from bitat_deploy.operators.vector_code import (
    for_vectors,
    keep,
    load,
    parts,
    splat,
    store,
    vector_dtype,
)
from bitat_deploy.target import Target


class ByteAddition(Operator):
    """Two uint8 [1, height, width, channels] to one of the same shape."""

    kind = "byte_addition"
    layer: AddBytes

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All sums of two tensors of bytes."""
        return isinstance(layer, AddBytes)

    @property
    def reads(self) -> tuple[str, ...]:
        """Both."""
        return self.layer.input, self.layer.other

    def reference(self, x: NDArray[Any], other: NDArray[Any]) -> NDArray[np.generic]:
        """By the definition in :mod:`bitat_deploy.network.byte_layers`."""
        return add_bytes(self.layer, x, other)

    def emit(self, x: Any, other: Any, y: Any) -> None:
        """Row by row, vectors of elements."""
        row = self.width * self.channels
        lanes = max(self.target.vector_bytes // 2, 8)
        with parts(self.height, self.target, 4 * self.height * row // lanes) as index:
            start = index * row

            def emit(offset: Any, size: int) -> None:
                store(y, start + offset, self._emit_sum(x, other, start + offset, size), size)

            for_vectors(row, lanes, emit)

    def _emit_sum(self, x: Any, other: Any, offset: Any, lanes: int) -> Any:
        layer = self.layer
        dtype = vector_dtype("float32", lanes)
        total = splat(float(layer.fixed), "float32", lanes)
        for buffer, ratio in ((other, layer.other_ratio), (x, layer.ratio)):
            level = T.cast(load(buffer, offset, lanes), vector_dtype("int32", lanes))
            if layer.offset:
                level = level - splat(layer.offset, "int32", lanes)
            real = T.cast(level, dtype)
            factor = splat(float(ratio), "float32", lanes)
            total = keep(T.call_llvm_pure_intrin(dtype, "llvm.fma", real, factor, total))
        low, high = -layer.offset, 255 - layer.offset
        whole = rounded(total, low, high, layer.offset, lanes)
        return T.cast(whole, vector_dtype("uint8", lanes))
