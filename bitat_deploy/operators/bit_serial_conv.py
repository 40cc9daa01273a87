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
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Codes, pack_bits, packed_bytes
from bitat_deploy.operators.bit_planes import MAXIMUM_OF_BYTE, count_in_lanes32
from bitat_deploy.operators.convolution import (
    ConvolutionOperator,
    PaddedCopy,
    pixel_classes,
)
from bitat_deploy.operators.output_stage import Place, StageCode
from bitat_deploy.operators.vector_code import (
    for_vectors,
    keep,
    load,
    load_word,
    splat,
    store,
    vector_dtype,
)
from bitat_deploy.target import Target

_UNROLLED = 192  # word pairs of a tile in straight-line code
_TREE_WORDS, _LARGEST_TREE = 31, 128  # word pairs in one tree of carry-save adders


@dataclass(frozen=True)
class BitSerialSchedule:
    """What can be chosen without changing the result.

    ``lane_bits`` (8 or 32) of the window in each lane; a tile is ``pixels`` x ``channel_vectors``;
    ``words`` are counted in straight-line code, and in a loop where there are more.
    """

    lane_bits: int
    pixels: int
    channel_vectors: int
    words: int

    @staticmethod
    def default(target: Target, pairs: int, levels: int) -> "BitSerialSchedule":
        """For ``pairs`` of planes of ``levels`` different weights."""
        if target.architecture == "x86_64":
            return BitSerialSchedule(32, 1, 1, max(8, _TREE_WORDS // pairs))
        pixels, vectors = {1: (4, 4), 2: (4, 2), 3: (2, 2), 4: (2, 2)}.get(levels, (2, 1))
        return BitSerialSchedule(8, pixels, vectors, 1)


@dataclass(frozen=True, eq=False)
class _Tile:
    """What one step computes: buffers, and where its pixels and its weights begin.

    ``x`` holds a word of plane j of a pixel p at ``starts(j, p, run)`` plus the word's offset.
    """

    x: Any
    weight: Any
    starts: Any
    pixels: int
    weight_offset: Any
    vectors: int


@dataclass(frozen=True, eq=False)
class BitSerialConv(ConvolutionOperator):
    """Convolution of codes [1, height, width, bits * ceil(channels / 8)] at a fixed shape."""

    kind = "bit_serial_conv"

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
        size = self.group_channels * layer.kernel**2
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
        arrays = (self._arranged_weights(), *self.stage_code.constants())
        if not self._has_classes:
            return arrays
        (rows, _), (columns, column_classes) = self._classes
        return (*arrays, rows * np.int32(len(column_classes)), columns)

    def space(self) -> tuple[BitSerialSchedule, ...]:
        """Tiles that registers hold, and how much of the window is counted at once."""
        default = self._schedule
        if default.lane_bits == 32:
            shapes = [(1, 1), (2, 1), (1, 2), (2, 2)]
            blocks = [words for words in (4, 8, 15, 31) if words * self._pairs <= _LARGEST_TREE]
            return tuple(BitSerialSchedule(32, *s, words) for s in shapes for words in blocks)
        shapes = [(p, v) for p in (1, 2, 4, 8) for v in (1, 2, 4) if p * v * self._levels <= 20]
        return tuple(BitSerialSchedule(8, *shape, words) for shape in shapes for words in (1, 2))

    @property
    def _schedule(self) -> BitSerialSchedule:
        schedule: BitSerialSchedule | None = self.schedule
        return schedule or BitSerialSchedule.default(self.target, self._pairs, self._levels)

    @property
    def _pairs(self) -> int:
        return self.layer.weight_bits * self.codes.bits

    @property
    def _levels(self) -> int:
        return self.layer.weight_bits + self.codes.bits - 1

    @property
    def _weight_of_pairs(self) -> int:
        return (2**self.layer.weight_bits - 1) * self.codes.top

    @property
    def _lanes(self) -> int:
        return self.target.vector_bytes * 8 // self._schedule.lane_bits

    @property
    def _value_dtype(self) -> str:
        if self._schedule.lane_bits == 32:
            return "int32"
        largest = self.group_channels * self.layer.kernel**2 * self._weight_of_pairs
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
        return [pixel_classes(size, out, self.layer) for size, out in sizes]

    @property
    def _group_out(self) -> int:
        return self.layer.out_channels // self.layer.groups

    @property
    def _vectors(self) -> int:
        return self.group_vectors(self._lanes)

    @property
    def _run_bytes(self) -> int:
        return self.run_taps * packed_bytes(self.group_channels)

    @property
    def _words(self) -> int:
        """Words of a run; the last one may not be whole."""
        return -(-self._run_bytes * 8 // self._schedule.lane_bits)

    def _arranged_weights(self) -> NDArray[np.uint8]:
        layer, schedule = self.layer, self._schedule
        groups, lanes, vectors = layer.groups, self._lanes, self._vectors
        codes = (layer.weight.astype(np.int64) + 2**layer.weight_bits - 1) // 2
        planes = [pack_bits(1 - (codes >> i & 1)) for i in range(layer.weight_bits)]
        runs = np.stack(planes).reshape(layer.weight_bits, groups, self._group_out, self.runs, -1)
        spare_bytes = self._words * schedule.lane_bits // 8 - runs.shape[-1]
        spare_lanes = vectors * lanes - self._group_out
        runs = np.pad(runs, ((0, 0), (0, 0), (0, spare_lanes), (0, 0), (0, spare_bytes)))
        runs = runs.reshape(layer.weight_bits, groups, vectors, lanes, self.runs, self._words, -1)
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
        rest = list(buffers)
        y = rest.pop()
        shortcut = rest.pop(0) if self.shortcut_channels else None
        weight = rest.pop(0)
        classes = (rest.pop(-2), rest.pop()) if self._has_classes else None
        constants = tuple(rest)
        code, stride, schedule = self.stage_code, self.layer.stride, self._schedule
        source, address = self._emit_source(x)
        vector_size = self.runs * self._words * self.layer.weight_bits * self.target.vector_bytes

        def emit_values(
            row: Any, column: Any, group: Any, first: Any, pixels: int, vectors: int
        ) -> list[Any]:
            def starts(plane: int, pixel: int, run: Any) -> Any:
                down, right = self.run_offset(run)
                return address(plane, group, row * stride + down, (column + pixel) * stride + right)

            offset = (group * self._vectors + first) * vector_size
            return self._emit_values(_Tile(source, weight, starts, pixels, offset, vectors))

        def finish(row: Any, column: Any, vector: Any, count: int, value: Any) -> None:
            pixel_class = classes[0][row] + classes[1][column] if classes else 0
            place = Place(row * self.row_width + column, vector, count, pixel_class)
            code.emit(value, place, constants, shortcut, y)

        self.emit_tiles(code, (schedule.pixels, schedule.channel_vectors), emit_values, finish)

    def _emit_source(self, x: Any) -> tuple[Any, Any]:
        """The buffer that windows read, and the address of a plane of a group of a pixel in it."""
        layer, codes = self.layer, self.codes
        plane_bytes, pixel = packed_bytes(self.channels), packed_bytes(self.group_channels)
        aligned = layer.groups == 1 or self.group_channels % 8 == 0
        if layer.kernel == 1 and not layer.padding and aligned:

            def address(plane: Any, group: Any, row: Any, column: Any) -> Any:
                width = self.row_width if layer.stride == 1 else self.source.shape[1]
                start = (row * width + column) * codes.bits + plane
                return start * plane_bytes + group * pixel

            return x, address

        def emit_run(
            copy: Any, address: Any, plane: Any, group: Any, index: Any, size: int
        ) -> None:
            start = (index * codes.bits + plane) * plane_bytes
            if aligned:
                start = start + group * pixel

                def emit_bytes(byte: Any, count: int) -> None:
                    store(copy, address + byte, load(x, start + byte, count), count)

                for_vectors(size, self.target.vector_bytes, emit_bytes)
                return
            for byte in range(pixel):
                bit = group * self.group_channels + 8 * byte
                count = min(8, self.group_channels - 8 * byte)
                value = _load_bits(x, start, bit, count, plane_bytes)
                T.buffer_store(copy, value, [address + byte])

        copy = PaddedCopy(self, codes.bits, pixel, "uint8")
        last = 0xFF >> (8 * pixel - self.group_channels)  # spare bits are 0
        border = (0xFF, last) if layer.padding_level else (0, 0)
        return copy.emit(border, emit_run), copy.address

    def _emit_values(self, tile: _Tile) -> list[Any]:
        """Weighted counts of agreeing bits: a vector for each pixel and vector of channels."""
        dtype, lanes = self._value_dtype, self._lanes
        size = tile.pixels * tile.vectors
        totals = [T.alloc_buffer([lanes], dtype) for _ in range(size)]
        for total in totals:
            store(total, 0, splat(0, dtype, lanes), lanes)

        def add(counts: list[Any]) -> None:
            for total, count in zip(totals, counts, strict=True):
                store(total, 0, load(total, 0, lanes) + count, lanes)

        whole, rest = divmod(self._run_bytes * 8, self._schedule.lane_bits)
        straight = self.runs * self._words
        if straight * self._pairs * size <= _UNROLLED and straight <= self._block:
            words = [(run, word) for run in range(self.runs) for word in range(self._words)]
            add(self._emit_counts(tile, words, rest // 8))
        elif self.runs == 1:
            self._emit_run(tile, 0, whole, rest // 8, add)
        else:
            with T.serial(self.runs) as run:
                self._emit_run(tile, run, whole, rest // 8, add)
        return [keep(load(total, 0, lanes)) for total in totals]

    @property
    def _block(self) -> int:
        """Words that are counted before they are added to the totals."""
        if self._schedule.lane_bits == 32:
            return self._schedule.words
        return MAXIMUM_OF_BYTE // 8 // min(self.layer.weight_bits, self.codes.bits)

    def _emit_run(self, tile: _Tile, run: Any, whole: int, rest: int, add: Any) -> None:
        """Add the counts of a run: blocks of words in a loop, then what is left."""
        block = min(self._block, whole) or 1
        blocks, left = divmod(whole, block)

        def emit_block(start: Any, size: int) -> None:
            if self._schedule.lane_bits == 32:
                words = [(run, start + word) for word in range(size)]
                add(self._emit_counts(tile, words, 0))
            else:
                add(self._emit_byte_loop(tile, run, start, size))

        if blocks == 1:
            emit_block(0, block)
        elif blocks:
            with T.serial(blocks) as index:
                emit_block(index * block, block)
        if left:
            emit_block(blocks * block, left)
        if rest:
            add(self._emit_counts(tile, [(run, whole)], rest))

    def _emit_counts(self, tile: _Tile, words: list[tuple[Any, Any]], rest: int) -> list[Any]:
        """Counts of words in straight-line code; a run's last word has ``rest`` bytes if not 0."""
        indices = [(pixel, v) for pixel in range(tile.pixels) for v in range(tile.vectors)]
        if self._schedule.lane_bits == 32:
            return [
                count_in_lanes32(
                    self._emit_differences(tile, pixel, vector, words, rest),
                    self._lanes,
                    self.target,
                )
                for pixel, vector in indices
            ]
        counts = []
        for pixel, vector in indices:
            levels: list[Any] = [None] * self._levels
            for word, level in self._emit_differences(tile, pixel, vector, words, rest):
                count = keep(T.popcount(word))
                known = levels[level]
                levels[level] = count if known is None else keep(known + count)
            counts.append(self._emit_widened(levels))
        return counts

    def _emit_byte_loop(self, tile: _Tile, run: Any, start: Any, size: int) -> list[Any]:
        """Counts of ``size`` words, one level in a byte at a time, in a loop."""
        lanes, step = self._lanes, self._schedule.words
        indices = [(pixel, v) for pixel in range(tile.pixels) for v in range(tile.vectors)]
        sums = [[T.alloc_buffer([lanes], "uint8") for _ in range(self._levels)] for _ in indices]
        for levels in sums:
            for level in levels:
                store(level, 0, splat(0, "uint8", lanes), lanes)

        def count(words: list[tuple[Any, Any]]) -> None:
            for (pixel, vector), levels in zip(indices, sums, strict=True):
                for word, level in self._emit_differences(tile, pixel, vector, words, 0):
                    total = load(levels[level], 0, lanes) + T.popcount(word)
                    store(levels[level], 0, total, lanes)

        if size // step:
            with T.serial(size // step) as index:
                count([(run, start + index * step + word) for word in range(step)])
        if size % step:
            count([(run, start + size - size % step + word) for word in range(size % step)])
        return [self._emit_widened([load(level, 0, lanes) for level in levels]) for levels in sums]

    def _emit_widened(self, levels: list[Any]) -> Any:
        """Counts in bytes, by level, to one weighted count."""
        dtype = vector_dtype(self._value_dtype, self._lanes)
        total = None
        for level, count in enumerate(levels):
            if count is None:
                continue
            wide = T.cast(count, dtype) << splat(level, self._value_dtype, self._lanes)
            total = wide if total is None else total + wide
        return keep(total)

    def _emit_differences(
        self, tile: _Tile, pixel: int, vector: int, words: list[tuple[Any, Any]], rest: int
    ) -> Any:
        """(code xor complemented weight, level) of each word and pair of planes."""
        bits, lanes = self._schedule.lane_bits, self._lanes
        size, vector_bytes = bits // 8, self.target.vector_bytes
        planes = self.layer.weight_bits
        for run, word in words:
            last = rest and isinstance(word, int) and word == self._words - 1
            codes = [
                load_word(
                    tile.x, tile.starts(j, pixel, run) + word * size, rest if last else size, bits
                )
                for j in range(self.codes.bits)
            ]
            if last and rest > 1:
                codes = [keep(code) for code in codes]
            for i in range(planes):
                row = (run * self._words + word) * planes + i
                start = tile.weight_offset + (row * tile.vectors + vector) * vector_bytes
                weights = load(tile.weight, start, vector_bytes)
                weights = T.reinterpret(f"uint{bits}x{lanes}", weights)
                for j, code in enumerate(codes):
                    yield keep(T.broadcast(code, lanes) ^ weights), i + j


def _load_bits(x: Any, start: Any, bit: Any, count: int, plane_bytes: int) -> Any:
    """``count`` bits (at most 8) of a plane from ``bit`` on, as a byte."""
    first = bit // 8
    following = T.min(first + 1, plane_bytes - 1)
    pair = T.cast(x[start + first], "uint32") | (
        T.cast(x[start + following], "uint32") << splat(8, "uint32", 1)
    )
    value = (pair >> T.cast(bit % 8, "uint32")) & splat((1 << count) - 1, "uint32", 1)
    return T.cast(value, "uint8")
