"""Global pooling of codes of several bits: the sum of each channel's codes.

Algebra. The sum is that of 2^p times the number of ones in plane p, and the planes of a pixel
follow each other as if they were more channels: so the ones are counted as of 1-bit codes, by
:class:`.GlobalBitCount`, and its counts are added up.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import packed_bytes, unpack_codes
from bitat_deploy.operators.global_bit_count import GlobalBitCount
from bitat_deploy.operators.operator import Operator, TensorSpec
from bitat_deploy.operators.vector_code import for_vectors, load, splat, store
from bitat_deploy.target import Target


@dataclass(frozen=True, eq=False)
class GlobalCodeSum(Operator):
    """Sum per channel of unsigned codes: packed codes of ``bits`` bits to int32 [1, channels]."""

    kind = "global_code_sum"

    height: int
    width: int
    channels: int
    bits: int
    target: Target

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Packed codes."""
        return self._counting.inputs

    @property
    def output(self) -> TensorSpec:
        """Sums."""
        return TensorSpec((1, self.channels), "int32")

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """Unpack and add, in plain numpy."""
        return unpack_codes(x, self.channels, self.bits).sum(axis=(1, 2), dtype=np.int32)

    def _workload_details(self) -> tuple[str, ...]:
        return (f"bits={self.bits}",)

    @property
    def _plane(self) -> int:
        """Channels of a plane, spare ones included."""
        return 8 * packed_bytes(self.channels)

    @property
    def _counting(self) -> GlobalBitCount:
        return GlobalBitCount(self.height, self.width, self.bits * self._plane, self.target)

    def emit(self, x: Any, y: Any) -> None:
        """Count each plane, then add the planes, vectors of channels."""
        counts = T.alloc_buffer([self.bits * self._plane], "int32")
        self._counting.emit(x, counts)

        def emit(channel: Any, lanes: int) -> None:
            total = load(counts, channel, lanes)
            for plane in range(1, self.bits):
                count = load(counts, plane * self._plane + channel, lanes)
                total = total + (count << splat(plane, "int32", lanes))
            store(y, channel, total, lanes)

        for_vectors(self.channels, self.target.vector_bytes // 4, emit)
