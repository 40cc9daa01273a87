"""Binary depthwise convolution with its threshold, bit-sliced: packed bits in, packed bits out.

Algebra. Over the n = kernel^2 taps of a channel, sum(x * w) = n - 2 * d where d counts the taps
at which x and w differ, so ``sum >= threshold`` is ``d < bound`` with bound = floor((n - threshold)
/ 2) + 1, clipped to 0 (never) .. n + 1 (always). Spare channels have the bound 0, hence the bit 0.

Layout. Every bit position of a vector is a channel: n words x xor w are added with full and half
adders into the bit planes of d, and d < bound is decided plane by plane, which gives the packed
output itself. No popcount, no unpacking, no sum across lanes. The input is first copied into a
border of +1, columns sorted by their remainder modulo the stride; then each tap of a row of
outputs is one contiguous run of bytes, and a vector may span several pixels. Weights and bounds
([taps + planes][period]) are repeated up to a common multiple of a pixel and a vector.

Instructions, 3x3: 9 xor, 5 full and 2 half adders, 4 planes to compare: on AVX-512 9 + 10 + 4 + 4 =
27 for 512 channels (4608 binary multiply-accumulates), on NEON 9 + 15 + 4 + 8 = 36 for 128.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Format, pack_bits, packed_bytes
from bitat_deploy.operators.binary_conv import BinaryConv
from bitat_deploy.operators.carry_save import add_words_completely, full_adder
from bitat_deploy.operators.vector_code import keep, load, sharing_threads, splat, store, stretches
from bitat_deploy.target import Target


@dataclass(frozen=True)
class DepthwiseSchedule:
    """Bytes of a row of outputs that are computed at a time.

    Two vectors of the target hide each other's latencies; they have fewer registers each.
    """

    vector_bytes: int


class BinaryDepthwiseConv(BinaryConv):
    """Binary depthwise convolution at a fixed shape; pads with +1.

    Reads and writes packed [1, height, width, ceil(channels / 8)].
    """

    kind = "binary_depthwise"

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """Depthwise ones, without dilation, whose border, if any, is +1."""
        if not super().computes(layer, formats, target):
            return False
        # Codes of one bit, signed or not, have 1 for the top level.
        padded_with_ones = layer.padding == 0 or layer.padding_level == 1
        return bool(layer.depthwise and layer.square and padded_with_ones and layer.dilation == 1)

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Weights of each tap, then bit planes of the bounds: uint8 [taps + planes, period]."""
        taps = self._taps
        exact = (taps - self.threshold.astype(np.int64)) // 2 + 1
        bound = np.clip(exact, 0, taps + 1)
        planes = [(bound >> plane) & 1 for plane in range(self._planes)]
        weight = self.weight_bits.reshape(self.channels, taps).T
        rows = pack_bits(np.concatenate([weight, np.array(planes)]))
        return (np.tile(rows, (1, self._period // rows.shape[1])),)

    def space(self) -> tuple[DepthwiseSchedule, ...]:
        """Vectors that a row of outputs fills: one or two; on x86 half a vector or one."""
        row_bytes = self.output.shape[2] * self.output.shape[3]
        wide = self.target.vector_bytes
        sizes = [wide // 2, wide] if wide > 16 else [wide, 2 * wide]
        return tuple(DepthwiseSchedule(size) for size in sizes if size <= row_bytes)

    def _workload_details(self) -> tuple[str, ...]:
        layer = self.layer
        return (f"kernel{layer.kernel}", f"stride{layer.stride}", f"padding{layer.padding}")

    @property
    def _schedule(self) -> DepthwiseSchedule:
        schedule: DepthwiseSchedule | None = self.schedule
        return schedule or DepthwiseSchedule(self.target.vector_bytes)

    @property
    def _vector_bytes(self) -> int:
        return self._schedule.vector_bytes

    @property
    def _taps(self) -> int:
        return self.layer.kernel**2

    @property
    def _planes(self) -> int:
        return (self._taps + 1).bit_length()

    @property
    def _period(self) -> int:
        return math.lcm(packed_bytes(self.channels), self._vector_bytes)

    @property
    def _phase_columns(self) -> int:
        """Columns of the copied input that have the same remainder modulo the stride."""
        return -(-(self.width + 2 * self.layer.padding) // self.layer.stride)

    def emit(self, x: Any, constants: Any, y: Any) -> None:
        """Copy, then every row of outputs vector by vector, the last bytes in smaller ones.

        Each thread copies the rows that it reads.
        """
        pixel = packed_bytes(self.channels)
        vector = self._vector_bytes
        height, width = self.out_size
        row_bytes = width * pixel
        full, rest = divmod(row_bytes, vector)
        repeats = self._period // vector
        # About four operations for every tap: xor, and a full adder.
        operations = height * -(-row_bytes // self.target.vector_bytes) * 4 * self._taps
        with stretches(height, self.target, operations) as (begin, end):
            copy = self._emit_copy(x, begin, end, sharing_threads(self.target, operations))
            if full:
                with (
                    T.serial(min(repeats, full)) as part,
                    T.serial(end - begin) as line,
                    T.serial((full - 1 - part) // repeats + 1) as repeat,
                ):
                    offset = (repeat * repeats + part) * vector
                    place = (line, begin + line, offset, part * vector)
                    self._emit_vector(copy, constants, y, place, vector)
            if rest:
                with T.serial(end - begin) as line:
                    start = full * vector
                    while start < row_bytes:
                        size = 1 << ((row_bytes - start).bit_length() - 1)
                        place = (line, begin + line, start, start % self._period)
                        self._emit_vector(copy, constants, y, place, size)
                        start += size

    def _emit_copy(self, x: Any, begin: Any, end: Any, threads: int) -> Any:
        """Copy what the output's rows from ``begin`` to ``end`` read, inside of a border of ones.

        Rows are [column % stride][column // stride][byte].
        """
        pixel = packed_bytes(self.channels)
        layer, columns = self.layer, self._phase_columns
        stride, padding = layer.stride, layer.padding
        padded_width = self.width + 2 * padding
        row_bytes = stride * columns * pixel
        most_rows = (-(-self.out_size[0] // threads) - 1) * stride + layer.kernel
        copy = T.alloc_buffer([most_rows * row_bytes], "uint8")

        def address(line: Any, column: Any) -> Any:
            return line * row_bytes + ((column % stride) * columns + column // stride) * pixel

        def fill(line: Any, first: int, count: int) -> None:
            with T.serial(count) as column, T.serial(pixel) as byte:
                place = address(line, column + first) + byte
                T.buffer_store(copy, splat(0xFF, "uint8", 1), [place])

        def copy_row(line: Any, row: Any) -> None:
            if stride == 1:
                run = self.width * pixel
                with T.serial(run) as byte:
                    value = x[row * run + byte]
                    T.buffer_store(copy, value, [line * row_bytes + padding * pixel + byte])
            else:
                with T.serial(self.width) as column, T.serial(pixel) as byte:
                    value = x[(row * self.width + column) * pixel + byte]
                    T.buffer_store(copy, value, [address(line, column + padding) + byte])
            if padding:
                fill(line, 0, padding)
                fill(line, padded_width - padding, padding)

        with T.serial((end - begin - 1) * stride + layer.kernel) as line:
            row = begin * stride + line - padding
            if not padding:
                copy_row(line, row)
            else:
                with T.If(T.And(row >= 0, row < self.height)):
                    with T.Then():
                        copy_row(line, row)
                    with T.Else():
                        fill(line, 0, padded_width)
        return copy

    def _emit_vector(
        self, copy: Any, constants: Any, y: Any, place: tuple[Any, Any, Any, Any], size: int
    ) -> None:
        """``size`` bytes of a row of outputs.

        A place is the row in the copy, the output's row, the first byte, and where in the period
        the constants are.
        """
        copied, row, offset, within = place
        pixel = packed_bytes(self.channels)
        columns, kernel, stride = self._phase_columns, self.layer.kernel, self.layer.stride
        words = []
        for i in range(kernel):
            for j in range(kernel):
                line = (copied * stride + i) * stride + j % stride
                start = (line * columns + j // stride) * pixel + offset
                tap = (i * kernel + j) * self._period + within
                words.append(keep(load(copy, start, size) ^ load(constants, tap, size)))
        differing = add_words_completely(words, full_adder(self.target))
        below = None
        for plane in range(self._planes):
            bound = load(constants, (self._taps + plane) * self._period + within, size)
            if plane >= len(differing):
                below = keep(below | bound)
                continue
            digit = differing[plane]
            if below is None:
                below = keep(~digit & bound)
            else:
                differ = keep(digit ^ bound)
                below = keep(((bound ^ below) & differ) ^ below)
        store(y, row * (self.output.shape[2] * pixel) + offset, below, size)
