"""Binary 1x1 convolution with its threshold: packed bits in, packed bits out.

Algebra. Bits stand for +1 and -1, so over C channels sum(x * w) = C - 2 * popcount(x xor w), and
``sum >= threshold`` becomes one comparison of a count of bits. There are two ways to count them:
in lanes with popcounts (:mod:`.pointwise_counts`), which suits any number of output channels; and
bit-sliced with tables (:mod:`.pointwise_tables`), for output channels that fill whole vectors. The
schedule says which channels are computed how; both read and write the same packed tensors. A third
way, tables of counts, is that of other binary convolutions (:mod:`.lookup_counts`).
"""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from bitat_deploy.network import Format, packed_bytes
from bitat_deploy.operators.binary_conv import BinaryConv
from bitat_deploy.operators.bit_serial_conv import BitSerialConv
from bitat_deploy.operators.lookup_counts import LookupSchedule, lookup_space
from bitat_deploy.operators.pointwise_counts import CountingKernel
from bitat_deploy.operators.pointwise_schedule import PointwiseSchedule, schedule_space
from bitat_deploy.operators.pointwise_tables import TableKernel
from bitat_deploy.target import Target


class BinaryPointwiseConv(BinaryConv):
    """Binary 1x1 convolution at a fixed shape.

    Reads and writes packed [1, height, width, ceil(channels / 8)].
    """

    kind = "binary_pointwise"

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """1x1 ones, without stride, border or groups."""
        return super().computes(layer, formats, target) and bool(layer.pointwise)

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Those of the kernels, one after the other."""
        if self._in_lookups is not None:
            return self._in_lookups.constants()
        return tuple(array for kernel in self._kernels for array in kernel.constants())

    def space(self) -> tuple[Any, ...]:
        """Tiles, and how much is done by tables of either kind."""
        _, channels, out = self._size
        lookups = lookup_space(self.target, channels, out)
        return (*schedule_space(self.target, *self._size), *lookups)

    @property
    def _schedule(self) -> Any:
        """A PointwiseSchedule, or a LookupSchedule."""
        return self.schedule or PointwiseSchedule.default(self.target, *self._size)

    @property
    def _in_lookups(self) -> BitSerialConv | None:
        """The operator whose code this is, where it looks counts up."""
        if not isinstance(self._schedule, LookupSchedule):
            return None
        return BitSerialConv(self.layer, self.formats, self.target, self._schedule)

    @property
    def _size(self) -> tuple[int, int, int]:
        """Pixels, channels and output channels."""
        return self.height * self.width, self.channels, self.layer.out_channels

    @property
    def _kernels(self) -> list[TableKernel | CountingKernel]:
        """One for the first output channels, by tables, and one for the rest, by counting."""
        schedule = self._schedule
        pixels, channels, out = self._size
        all_weights, row = self.weight_bits[:, 0, 0], packed_bytes(out)
        tile = 8 * schedule.table_bytes
        split = out // tile * tile if tile else 0
        kernels: list[TableKernel | CountingKernel] = []
        if split:
            weight, threshold = all_weights[:split], self.threshold[:split]
            in_row = packed_bytes(channels)
            size, words = schedule.table_bytes, schedule.table_words
            kernels.append(
                TableKernel(weight, threshold, pixels, in_row, row, 0, size, words, self.target)
            )
        if split < out:
            weight, threshold = all_weights[split:], self.threshold[split:]
            kernels.append(
                CountingKernel(weight, threshold, pixels, row, split // 8, schedule, self.target)
            )
        return kernels

    def emit(self, x: Any, *buffers: Any) -> None:
        """Kernel after kernel, each with its two constants."""
        if self._in_lookups is not None:
            self._in_lookups.emit(x, *buffers)
            return
        *constants, y = buffers
        for kernel, weight, start in zip(
            self._kernels, constants[::2], constants[1::2], strict=True
        ):
            kernel.emit(x, weight, start, y)
