"""Pooling of the int16 stream and of bytes: 2x2 averages, and sums over all positions.

Lanes are channels, added in int32; nothing is added across lanes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import AveragePoolStream, Bytes, Format, GlobalSum, Stream, rounding
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


class StreamAveragePool(Operator):
    """2x2 average with stride 2, (sum + 2) >> 2; a last row or column alone counts twice.

    int16 [1, height, width, channels] to [1, ceil(height / 2), ceil(width / 2), channels].
    """

    kind = "average_pool_stream"
    layer: AveragePoolStream

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All average pools."""
        return isinstance(layer, AveragePoolStream)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The same in plain numpy."""
        space = ((0, 0), (0, self.height % 2), (0, self.width % 2), (0, 0))
        padded = np.pad(x.astype(np.int32), space, mode="edge")
        sums = padded[:, ::2, ::2] + padded[:, 1::2, ::2]
        sums += padded[:, ::2, 1::2] + padded[:, 1::2, 1::2]
        return ((sums + 2) >> 2).astype(np.int16)

    def emit(self, x: Any, y: Any) -> None:
        """Pixel by pixel, vectors of channels."""
        height, width = self.output.shape[1:3]
        with parts(height, self.target) as row, T.serial(width) as column:
            rows = (2 * row, _next(row, self.height))
            columns = (2 * column, _next(column, self.width))

            def emit(channel: Any, lanes: int) -> None:
                sums = splat(2, "int32", lanes)
                for i in rows:
                    for j in columns:
                        pixel = (i * self.width + j) * self.channels
                        sums = sums + _wide(load(x, pixel + channel, lanes), lanes)
                average = T.cast(sums >> splat(2, "int32", lanes), vector_dtype("int16", lanes))
                store(y, (row * width + column) * self.channels + channel, average, lanes)

            for_vectors(self.channels, self.target.vector_bytes // 4, emit)


class GlobalStreamSum(Operator):
    """Sum of each channel, (sum + 2^(shift - 1)) >> shift, to int32 [1, channels]."""

    kind = "global_stream_sum"
    layer: GlobalSum

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """Global sums of a stream or of bytes."""
        return isinstance(layer, GlobalSum) and isinstance(formats[layer.input], Stream | Bytes)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The same in plain numpy."""
        sums = x.sum(axis=(1, 2), dtype=np.int64) + rounding(self.layer.shift)
        return (sums >> self.layer.shift).astype(np.int32)

    def emit(self, x: Any, y: Any) -> None:
        """Vectors of channels, each over all pixels."""

        def emit(channel: Any, lanes: int) -> None:
            sums = T.alloc_buffer([lanes], "int32")
            store(sums, 0, splat(rounding(self.layer.shift), "int32", lanes), lanes)
            with T.serial(self.height * self.width) as pixel:
                value = _wide(load(x, pixel * self.channels + channel, lanes), lanes)
                store(sums, 0, load(sums, 0, lanes) + value, lanes)
            shifted = load(sums, 0, lanes) >> splat(self.layer.shift, "int32", lanes)
            store(y, channel, shifted, lanes)

        for_vectors(self.channels, self.target.vector_bytes // 4, emit)


def _next(half: Any, size: int) -> Any:
    """The odd one of a pair of rows or columns, or the even one again where there is none."""
    odd = 2 * half + 1
    return odd if size % 2 == 0 else odd - odd // size


def _wide(value: Any, lanes: int) -> Any:
    return T.cast(value, vector_dtype("int32", lanes))
