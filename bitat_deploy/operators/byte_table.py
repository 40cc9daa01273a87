"""A function of each byte, by a table: what prepares a picture, and activations of int8 files.

One look-up for each element. Tables are [channels or 1][256].
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Format, MapBytes, map_bytes
from bitat_deploy.operators.operator import Operator
from bitat_deploy.operators.vector_code import parts
from bitat_deploy.target import Target

_TOGETHER = 16  # look-ups in straight-line code, at most


class ByteTable(Operator):
    """uint8 [1, height, width, channels] to uint8 of the same shape."""

    kind = "byte_table"
    layer: MapBytes

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All functions of a byte."""
        return isinstance(layer, MapBytes)

    def constants(self) -> tuple[NDArray[Any], ...]:
        """The tables, flat."""
        return (np.ascontiguousarray(self.layer.table).ravel(),)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """By the definition in :mod:`bitat_deploy.network.byte_layers`."""
        return map_bytes(self.layer, x)

    def _workload_details(self) -> tuple[str, ...]:
        return (f"tables:{len(self.layer.table)}",)

    def emit(self, x: Any, table: Any, y: Any) -> None:
        """Row by row; pixel by pixel where channels have tables of their own."""
        row, tables = self.width * self.channels, len(self.layer.table)
        step = tables if tables > 1 else next(n for n in range(_TOGETHER, 0, -1) if row % n == 0)
        unrolled = step <= _TOGETHER

        def emit(start: Any, element: Any) -> None:
            place = element * 256 if tables > 1 else 0
            value = T.cast(x[start + element], "int32")
            T.buffer_store(y, table[place + value], [start + element])

        with (
            parts(self.height, self.target, self.height * row) as index,
            T.serial(row // step) as group,
        ):
            start = index * row + group * step
            if unrolled:
                for element in range(step):
                    emit(start, element)
            else:
                with T.serial(step) as element:
                    emit(start, element)
