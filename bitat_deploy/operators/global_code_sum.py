"""Global pooling of codes of several bits: the sum of each channel's codes.

Algebra. The sum is that of 2^p times the number of ones in plane p, and the planes of a pixel
follow each other as if they were more channels: so the ones are counted as of 1-bit codes, by
:class:`.GlobalBitCount`, and its counts are added up.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Codes, Format, GlobalSum, packed_bytes, unpack_codes
from bitat_deploy.operators.global_bit_count import GlobalBitCount
from bitat_deploy.operators.operator import Operator
from bitat_deploy.operators.vector_code import for_vectors, load, splat, store
from bitat_deploy.target import Target


class GlobalCodeSum(Operator):
    """Sum per channel of unsigned codes: packed codes to int32 [1, channels]."""

    kind = "global_code_sum"
    layer: GlobalSum

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """Global sums of codes."""
        return isinstance(layer, GlobalSum) and isinstance(formats[layer.input], Codes)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """Unpack and add, in plain numpy."""
        return unpack_codes(x, self.channels, self.source.bits).sum(axis=(1, 2), dtype=np.int32)

    def _workload_details(self) -> tuple[str, ...]:
        return (f"bits={self.source.bits}",)

    @property
    def _plane(self) -> int:
        """Channels of a plane, spare ones included."""
        return 8 * packed_bytes(self.channels)

    @property
    def _counting(self) -> GlobalBitCount:
        shape = (self.height, self.width, self.source.bits * self._plane)
        planes = replace(self.source, shape=shape, bits=1)
        return GlobalBitCount(self.layer, {self.layer.input: planes}, self.target)

    def emit(self, x: Any, y: Any) -> None:
        """Count each plane, then add the planes, vectors of channels."""
        counts = T.alloc_buffer([self.source.bits * self._plane], "int32")
        self._counting.emit(x, counts)

        def emit(channel: Any, lanes: int) -> None:
            total = load(counts, channel, lanes)
            for plane in range(1, self.source.bits):
                count = load(counts, plane * self._plane + channel, lanes)
                total = total + (count << splat(plane, "int32", lanes))
            store(y, channel, total, lanes)

        for_vectors(self.channels, self.target.vector_bytes // 4, emit)
