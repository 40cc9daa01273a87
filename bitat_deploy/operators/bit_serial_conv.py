"""Convolution of n-bit codes with n-bit weights, any window and groups, with its output stage.

Algebra. A weight is the level sum_i 2^i (2 v_i - 1) of its bits v_i, a signed code is
sum_j 2^j (2 u_j - 1), an unsigned one sum_j 2^j u_j. Count where bits agree, over the K taps and
channels: A = sum_ij 2^(i + j) popcount(v_i xnor u_j). With W = (2^n - 1) (2^m - 1) for weights of n
and codes of m bits,

  signed:   sum = 2 A - K W
  unsigned: sum = A - K W + (2^m - 1) * (sum of the weights' codes)

so either is factor * A + base with a base for each output channel: one kernel, and the output
stage (:mod:`.output_stage`) takes it from there. The xnor is an xor, as weights are stored
complemented, with spare bits 0 like those of the codes.

Padding. The code 0 in the border is the level 0 of unsigned codes, the code 2^m - 1 is the top
level: exact as they are. Signed codes padded with the level 0 have a border of code 0, that is of
the level -(2^m - 1), and a base for each class of pixels that makes up for it: nothing inside.

Layout. As in the binary 1x1 convolution, lanes are output channels, a word of the pixel is
broadcast and nothing is added across lanes. Weights are [group][tile][run][word][plane i]
[vector of the tile][byte]. Windows read a copy of the input, unless they are one pixel.

Instructions, for each word and pair of planes: NEON eor, cnt, add; x86 xor and a full adder.

With weights of one bit it is faster on 64-bit ARM to look counts up (:mod:`.lookup_counts`), from
some 30 pixels on. With many pairs of planes it is faster to unpack the codes and multiply bytes, in
the code of :mod:`.quantized_conv` (:mod:`.arithmetic` says from how many on). A schedule of either
kind says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network import MAX_BITS, Codes, Convolution, Format, pack_bits, packed_bytes
from bitat_deploy.operators.arithmetic import bytes_from_pairs
from bitat_deploy.operators.bit_planes import MAXIMUM_OF_BYTE
from bitat_deploy.operators.bit_serial_count import CountTile, WindowCount
from bitat_deploy.operators.code_windows import emit_code_windows
from bitat_deploy.operators.convolution import ConvolutionOperator, pixel_classes
from bitat_deploy.operators.lookup_counts import (
    LANES,
    LookupCounts,
    LookupSchedule,
    default_lookups,
    lookup_space,
)
from bitat_deploy.operators.output_stage import Place, StageCode
from bitat_deploy.operators.quantized_conv import QuantizedConv, QuantizedConvSchedule
from bitat_deploy.target import Target

_TREE_WORDS, _LARGEST_TREE = 31, 128  # word pairs in one tree of carry-save adders


@dataclass(frozen=True)
class BitSerialSchedule:
    """What can be chosen without a change of the result.

    ``lane_bits`` (8 or 32) of the window in each lane; a tile is ``pixels`` x ``channel_vectors``;
    ``words`` are counted in straight-line code, and in a loop where there are more.
    """

    lane_bits: int
    pixels: int
    channel_vectors: int
    words: int

    @staticmethod
    def fastest(target: Target, weight_bits: int, code_bits: int) -> "BitSerialSchedule":
        """The fastest measured on this kind of processor."""
        pairs, levels = weight_bits * code_bits, weight_bits + code_bits - 1
        if target.architecture == "x86_64":
            return BitSerialSchedule(32, 1, 1, max(8, _TREE_WORDS // pairs))
        pixels, vectors = {1: (4, 4), 2: (4, 2), 3: (2, 2), 4: (2, 2)}.get(levels, (2, 1))
        return BitSerialSchedule(8, pixels, vectors, 1)


class BitSerialConv(ConvolutionOperator):
    """Convolution of codes [1, height, width, bits * ceil(channels / 8)] at a fixed shape."""

    kind = "bit_serial_conv"

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All convolutions of codes with weights of 1 to 4 bits."""
        if not isinstance(layer, Convolution) or layer.weight_bits > MAX_BITS:
            return False
        return isinstance(formats[layer.input], Codes)

    @property
    def codes(self) -> Codes:
        """What it reads."""
        assert isinstance(self.source, Codes)
        return self.source

    @cached_property
    def stage_code(self) -> StageCode:
        """The output stage of the counted agreements."""
        layer, codes = self.layer, self.codes
        weight = layer.weight.astype(np.int64)
        size = self.group_channels * layer.taps
        base = -size * self._weight_of_pairs * np.ones((1, layer.out_channels), np.int64)
        if not codes.signed:
            weight_codes = (weight + 2**layer.weight_bits - 1) // 2
            base = base + codes.top * weight_codes.sum(axis=(1, 2, 3))
        elif self._has_classes:
            of_taps = weight.sum(axis=3)
            inside = [~classes for _, classes in self._classes]
            seen = np.einsum("ra,cb,oab->rco", *(x.astype(np.int64) for x in inside), of_taps)
            base = base + codes.top * (of_taps.sum(axis=(1, 2)) - seen).reshape(-1, base.shape[1])
        return StageCode(
            stage=layer.output,
            channels=layer.out_channels,
            lanes=self._lanes,
            shortcut_channels=self.shortcut_channels,
            value_dtype=self._value_dtype,
            factor=2 if codes.signed else 1,
            base=base,
        )

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Weights, flat uint8; the output stage's; classes of rows and of columns, if needed."""
        if self._in_bytes is not None:
            return self._in_bytes.constants()
        arrays = (self._arranged_weights(), *self.stage_code.constants())
        if not self._has_classes:
            return arrays
        (rows, _), (columns, column_classes) = self._classes
        return (*arrays, rows * np.int32(len(column_classes)), columns)

    def space(self) -> tuple[Any, ...]:
        """Tiles that registers hold, and how much of the window is counted at once.

        With several pairs of planes also the tiles of products of bytes, with weights of one bit
        those of look-ups.
        """
        count = replace(self, schedule=self.bit_by_bit)._count
        in_bytes = QuantizedConv(self.layer, self.formats, self.target)
        lookups = self._lookup_space() if self._can_look_up else ()
        bytes_space = in_bytes.space() if count.pairs > 1 else ()
        return (*self._bit_serial_space(count), *bytes_space, *lookups)

    def _lookup_space(self) -> tuple[LookupSchedule, ...]:
        inputs = self.group_channels * self.layer.taps
        return lookup_space(self.target, inputs, self.layer.out_channels)

    def _bit_serial_space(self, count: WindowCount) -> tuple[BitSerialSchedule, ...]:
        if count.lane_bits == 32:
            shapes = [(1, 1), (2, 1), (1, 2), (2, 2)]
            blocks = [words for words in (4, 8, 15, 31) if words * count.pairs <= _LARGEST_TREE]
            return tuple(BitSerialSchedule(32, *s, words) for s in shapes for words in blocks)
        shapes = [(p, v) for p in (1, 2, 4, 8) for v in (1, 2, 4) if p * v * count.levels <= 20]
        return tuple(BitSerialSchedule(8, *shape, words) for shape in shapes for words in (1, 2))

    @property
    def _schedule(self) -> Any:
        """A BitSerialSchedule, a LookupSchedule, or a QuantizedConvSchedule: products of bytes."""
        if self.schedule is not None:
            return self.schedule
        if self._can_look_up:
            height, width = self.out_size
            inputs, out = self.group_channels * self.layer.taps, self.layer.out_channels
            lookups = default_lookups(self.target, height * width, inputs, out)
            if lookups is not None:
                return lookups
        pairs = self.layer.weight_bits * self.codes.bits
        if pairs < bytes_from_pairs(self.target, self.layer.taps, self.group_channels):
            return self.bit_by_bit
        return QuantizedConv(self.layer, self.formats, self.target).default_schedule

    @property
    def bit_by_bit(self) -> BitSerialSchedule:
        """The default schedule of counting bits."""
        return BitSerialSchedule.fastest(self.target, self.layer.weight_bits, self.codes.bits)

    @cached_property
    def _in_bytes(self) -> QuantizedConv | None:
        """The operator whose code this is, where codes are unpacked to bytes."""
        schedule = self._schedule
        if not isinstance(schedule, QuantizedConvSchedule):
            return None
        return QuantizedConv(self.layer, self.formats, self.target, schedule)

    @cached_property
    def _lookups(self) -> LookupCounts | None:
        """What counts, where that is by look-up."""
        schedule = self._schedule
        if not isinstance(schedule, LookupSchedule):
            return None
        return LookupCounts(
            self.target,
            schedule,
            self.runs,
            self.run_taps * packed_bytes(self.group_channels),
            self.codes.bits,
            self.layer.out_channels,
        )

    @property
    def _can_look_up(self) -> bool:
        """Whether there is such code."""
        largest = self.group_channels * self.layer.taps * self._weight_of_pairs
        one = (self.layer.weight_bits, self.layer.groups) == (1, 1)
        fits = self.codes.bits <= 2 and largest < np.iinfo(np.uint16).max
        return one and fits and self.target.vector_bytes == LANES

    @property
    def _weight_of_pairs(self) -> int:
        return (2**self.layer.weight_bits - 1) * self.codes.top

    @property
    def _lanes(self) -> int:
        if isinstance(self._schedule, LookupSchedule):
            return LANES
        return self.target.vector_bytes * 8 // self._schedule.lane_bits

    @property
    def _value_dtype(self) -> str:
        if isinstance(self._schedule, LookupSchedule):
            return "uint16"
        if self._schedule.lane_bits == 32:
            return "int32"
        largest = self.group_channels * self.layer.taps * self._weight_of_pairs
        if largest < MAXIMUM_OF_BYTE:
            return "uint8"
        return "uint16" if largest < np.iinfo(np.uint16).max else "int32"

    @property
    def _has_classes(self) -> bool:
        layer = self.layer
        return self.codes.signed and layer.padding > 0 and layer.padding_level == 0

    @property
    def _classes(self) -> list[tuple[NDArray[np.int32], NDArray[Any]]]:
        sizes = zip(self.source.shape[:2], self.out_size, strict=True)
        return [
            pixel_classes(size, out, self.layer, axis) for axis, (size, out) in enumerate(sizes)
        ]

    @property
    def _group_out(self) -> int:
        return self.layer.out_channels // self.layer.groups

    @property
    def _vectors(self) -> int:
        return self.group_vectors(self._lanes)

    @cached_property
    def _count(self) -> WindowCount:
        return WindowCount(
            target=self.target,
            lane_bits=self._schedule.lane_bits,
            words=self._schedule.words,
            value_dtype=self._value_dtype,
            runs=self.runs,
            run_bytes=self.run_taps * packed_bytes(self.group_channels),
            weight_bits=self.layer.weight_bits,
            code_bits=self.codes.bits,
        )

    def _arranged_weights(self) -> NDArray[np.uint8]:
        layer, schedule = self.layer, self._schedule
        if self._lookups is not None:
            bits = (layer.weight > 0).reshape(layer.out_channels, self.runs, self.run_taps, -1)
            channels = 8 * packed_bytes(self.group_channels)
            spare = [(0, 0)] * 3 + [(0, channels - self.group_channels)]
            # A spare bit, which is 0, never agrees with 1.
            ones = np.pad(bits.astype(np.uint8), spare, constant_values=1)
            return self._lookups.weights(ones.reshape(*ones.shape[:2], -1))
        groups, lanes, vectors = layer.groups, self._lanes, self._vectors
        codes = (layer.weight.astype(np.int64) + 2**layer.weight_bits - 1) // 2
        planes = [pack_bits(1 - (codes >> i & 1)) for i in range(layer.weight_bits)]
        runs = np.stack(planes).reshape(layer.weight_bits, groups, self._group_out, self.runs, -1)
        words = self._count.run_words
        spare_bytes = words * schedule.lane_bits // 8 - runs.shape[-1]
        spare_lanes = vectors * lanes - self._group_out
        runs = np.pad(runs, ((0, 0), (0, 0), (0, spare_lanes), (0, 0), (0, spare_bytes)))
        runs = runs.reshape(layer.weight_bits, groups, vectors, lanes, self.runs, words, -1)
        ordered = runs.transpose(1, 2, 4, 5, 0, 3, 6)  # group, vector, run, word, plane, lane, byte
        size = schedule.channel_vectors
        tiles = [
            group[start : start + size].transpose(1, 2, 3, 0, 4, 5).ravel()
            for group in ordered
            for start in range(0, vectors, size)
        ]
        return np.concatenate(tiles)

    def emit(self, x: Any, *buffers: Any) -> None:
        """Copy the input, if need be, and compute tile by tile."""
        if self._in_bytes is not None:
            self._in_bytes.emit(x, *buffers)
            return
        rest = list(buffers)
        y = rest.pop()
        shortcut = rest.pop(0) if self.shortcut_channels else None
        weight = rest.pop(0)
        classes = (rest.pop(-2), rest.pop()) if self._has_classes else None
        constants = tuple(rest)
        code, stride, schedule = self.stage_code, self.layer.stride, self._schedule
        source, address = emit_code_windows(self, self.codes, x)
        if self._lookups is not None:
            tensors = (shortcut, y)
            self._emit_lookups((source, weight), address, classes, constants, tensors)
            return
        planes = self.runs * self._count.run_words * self.layer.weight_bits
        vector_size = planes * self.target.vector_bytes

        def emit_values(
            row: Any, column: Any, group: Any, first: Any, pixels: int, vectors: int
        ) -> list[Any]:
            def starts(plane: int, pixel: int, run: Any) -> Any:
                down, right = self.run_offset(run)
                return address(plane, group, row * stride + down, (column + pixel) * stride + right)

            offset = (group * self._vectors + first) * vector_size
            return self._count.emit(CountTile(source, weight, starts, pixels, offset, vectors))

        def finish(row: Any, column: Any, vector: Any, count: int, value: Any) -> None:
            pixel_class = classes[0][row] + classes[1][column] if classes else 0
            place = Place(row * self.row_width + column, vector, count, pixel_class)
            code.emit(value, place, constants, shortcut, y)

        self.emit_tiles(code, (schedule.pixels, schedule.channel_vectors), emit_values, finish)

    def _emit_lookups(
        self,
        buffers: tuple[Any, Any],
        address: Any,
        classes: Any,
        constants: tuple[Any, ...],
        tensors: tuple[Any, Any],
    ) -> None:
        """All pixels, by look-up."""
        assert self._lookups is not None
        code, stride = self.stage_code, self.layer.stride
        _, width = self.out_size

        def start(row: Any, column: Any, plane: int, run: Any) -> Any:
            if self._is_flat:
                return address(plane, 0, 0, row * width + column)
            down, right = self.run_offset(run)
            return address(plane, 0, row * stride + down, column * stride + right)

        def finish(row: Any, column: Any, vector: Any, values: list[Any]) -> None:
            pixel_class = classes[0][row] + classes[1][column] if classes else 0
            place = Place(row * width + column, vector, LANES, pixel_class)
            code.emit_all(values, place, constants, *tensors)

        self._lookups.emit(buffers, self.out_size, start, finish)
