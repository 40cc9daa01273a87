"""Binary 1x1 convolution with its threshold: packed bits in, packed bits out.

Algebra. Bits stand for +1 and -1, so over C channels sum(x * w) = C - 2 * popcount(x xor w), and
``sum >= threshold`` becomes one comparison of a count of bits. There are two ways to count them:
in lanes with popcounts (:mod:`.pointwise_counts`), which suits any number of output channels; and
bit-sliced with tables (:mod:`.pointwise_tables`), for output channels that fill whole vectors. The
schedule says which channels are computed how; both read and write the same packed tensors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network import pack_bits, packed_bytes, unpack_bits
from bitat_deploy.operators.operator import Operator, TensorSpec
from bitat_deploy.operators.pointwise_counts import CountingKernel
from bitat_deploy.operators.pointwise_schedule import PointwiseSchedule, schedule_space
from bitat_deploy.operators.pointwise_tables import TableKernel
from bitat_deploy.target import Target


@dataclass(frozen=True, eq=False)
class BinaryPointwiseConv(Operator):
    """Binary 1x1 convolution at a fixed shape.

    ``weight`` uint8 {0, 1} [out, channels]; ``threshold`` int32 [out], compared with the sum of +1
    and -1. Reads packed [1, height, width, ceil(channels / 8)].
    """

    kind = "binary_pointwise"

    height: int
    width: int
    weight: NDArray[np.uint8]
    threshold: NDArray[np.int32]
    target: Target
    schedule: PointwiseSchedule | None = None

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return self.weight.shape[1]

    @property
    def out_channels(self) -> int:
        """Number of filters."""
        return self.weight.shape[0]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Packed activations."""
        return (TensorSpec((1, self.height, self.width, packed_bytes(self.channels)), "uint8"),)

    @property
    def output(self) -> TensorSpec:
        """Packed activations."""
        return TensorSpec((1, self.height, self.width, packed_bytes(self.out_channels)), "uint8")

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Those of the kernels, one after the other."""
        return tuple(array for kernel in self._kernels for array in kernel.constants())

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The sum of +1 and -1, in plain numpy."""
        signs = 2 * unpack_bits(x, self.channels).astype(np.int32) - 1
        sums = signs @ (2 * self.weight.astype(np.int32) - 1).T
        return pack_bits(sums >= self.threshold)

    def space(self) -> tuple[Any, ...]:
        """Tiles, and how much is done by tables."""
        pixels = self.height * self.width
        return schedule_space(self.target, pixels, self.channels, self.out_channels)

    @property
    def _schedule(self) -> PointwiseSchedule:
        return self.schedule or PointwiseSchedule.default(
            self.target, self.height * self.width, self.channels, self.out_channels
        )

    @property
    def _kernels(self) -> list[TableKernel | CountingKernel]:
        """What computes the first output channels, and the others."""
        schedule = self._schedule
        pixels, row = self.height * self.width, packed_bytes(self.out_channels)
        tile = 8 * schedule.table_bytes
        split = self.out_channels // tile * tile if tile else 0
        kernels: list[TableKernel | CountingKernel] = []
        if split:
            weight, threshold = self.weight[:split], self.threshold[:split]
            in_row = packed_bytes(self.channels)
            size, words = schedule.table_bytes, schedule.table_words
            kernels.append(
                TableKernel(weight, threshold, pixels, in_row, row, 0, size, words, self.target)
            )
        if split < self.out_channels:
            weight, threshold = self.weight[split:], self.threshold[split:]
            kernels.append(
                CountingKernel(weight, threshold, pixels, row, split // 8, schedule, self.target)
            )
        return kernels

    def emit(self, x: Any, *buffers: Any) -> None:
        """Kernel after kernel, each with its two constants."""
        *constants, y = buffers
        for kernel, weight, start in zip(
            self._kernels, constants[::2], constants[1::2], strict=True
        ):
            kernel.emit(x, weight, start, y)
