"""The binary 1x1 convolution by counting: popcounts in every lane, a lane for each channel.

Algebra. Bits stand for +1 and -1, so over C channels sum(x * w) = C - 2 * popcount(x xor w), and
``sum >= threshold`` is ``popcount < bound`` with bound = floor((C - threshold) / 2) + 1, clipped to
0 (never) .. C + 1 (always). Spare bits are 0 in x and w alike and cancel.

Layout. A vector holds one word (``lane_bits``) of K of each of ``lanes`` output channels; the word
of the pixel is broadcast, so that nothing is ever added across lanes. Weights are
[tile][word of K][vector of the tile][byte]; the last tile has as many vectors as are left. A
comparison gives one bit per lane: the packed output.

Instructions.
  NEON: lanes of 8 bits, 16 channels; eor, cnt, add per 128 bits, one broadcasting load per pixel
  and one load per vector of weights, both shared by a tile of 4 pixels x 4 vectors. Sums stay in
  bytes for 31 words of 8 bits, then widen to 16 bits. The order of the instructions may be written
  by hand (:mod:`.ordered_counts`). Comparisons are packed together (:mod:`.packed_masks`).
  x86: lanes of 32 bits, because broadcasting 32 bits from memory costs no shuffle. There is no
  fast popcount, so words go through carry-save adders first: for 512 channels (16 words) 16 xor,
  22 vpternlog and 5 popcounts of 6 instructions instead of 16. A lane's bytes are added by one
  ``vpdpbusd`` per popcount where there is VNNI, by shifts, masks and additions where not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import pack_bits, packed_bytes
from bitat_deploy.operators.carry_save import add_words, full_adder
from bitat_deploy.operators.ordered_counts import emit_counts, has_high_bytes
from bitat_deploy.operators.packed_masks import LANES, store_masks
from bitat_deploy.operators.pointwise_schedule import WORDS_PER_BYTE_SUM, PointwiseSchedule
from bitat_deploy.operators.vector_code import (
    dot_product,
    has_dot_product,
    keep,
    load,
    load_word,
    splat,
    store,
    store_mask,
    stretches,
)
from bitat_deploy.target import Target


@dataclass(frozen=True, eq=False)
class _Tile:
    """One step's buffers, and where its pixels and its weights begin."""

    x: Any
    weight: Any
    first_pixel: Any
    pixels: int
    weight_offset: Any
    vectors: int


@dataclass(frozen=True, eq=False)
class _Part:
    """A tile of ``vectors`` vectors of channels: ``size`` bytes of output."""

    tile: Any
    vectors: int
    size: int


@dataclass(frozen=True, eq=False)
class CountingKernel:
    """``weight`` uint8 {0, 1} [out, channels], ``threshold`` int32 [out]; for all pixels.

    Writes ceil(out / 8) bytes from byte ``out_byte`` of each of the ``out_row`` bytes of a pixel.
    """

    weight: NDArray[np.uint8]
    threshold: NDArray[np.int32]
    pixels: int
    out_row: int
    out_byte: int
    schedule: PointwiseSchedule
    target: Target

    @property
    def _channels(self) -> int:
        return self.weight.shape[1]

    @property
    def _out_channels(self) -> int:
        return self.weight.shape[0]

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Weights, flat uint8 (see Layout above), and bounds [vectors * lanes].

        Where sums are two bytes, the bounds' upper bytes, in steps of 16, then their lower halves.
        """
        schedule = self.schedule
        vectors, words = self._vectors, self._words
        bits = np.zeros((vectors * schedule.lanes, words * schedule.lane_bits), np.uint8)
        bits[: self._out_channels, : self._channels] = self.weight
        by_lane = pack_bits(bits).reshape(vectors, schedule.lanes, words, -1)
        by_word = by_lane.transpose(0, 2, 1, 3).reshape(vectors, words, schedule.vector_bytes)
        size = schedule.channel_vectors
        tiles = [by_word[start : start + size] for start in range(0, vectors, size)]
        weight = np.concatenate([tile.transpose(1, 0, 2).ravel() for tile in tiles])

        bound = np.zeros(vectors * schedule.lanes, np.int64)  # 0: a spare channel's bit is 0
        exact = (self._channels - self.threshold.astype(np.int64)) // 2 + 1
        bound[: self._out_channels] = np.clip(exact, 0, self._channels + 1)
        if self._has_high_bytes:
            bound = np.concatenate([bound // 16, bound % 16])
        return weight, bound.astype(self._sum_dtype)

    @property
    def _vectors(self) -> int:
        return -(-self._out_channels // self.schedule.lanes)

    @property
    def _words(self) -> int:
        return -(-self._channels // self.schedule.lane_bits)

    @property
    def _has_high_bytes(self) -> bool:
        return self.schedule.hand_ordered and has_high_bytes(self._words)

    @property
    def _sum_dtype(self) -> str:
        if self.schedule.lane_bits > 8:
            return "uint32"
        if self._words <= WORDS_PER_BYTE_SUM or self.schedule.hand_ordered:
            return "uint8"
        return "uint16" if self._channels < np.iinfo(np.uint16).max else "uint32"

    def emit(self, x: Any, weight: Any, bound: Any, y: Any) -> None:
        """Loop over tiles of channels (their weights stay in the cache), then over pixels.

        Threads share the pixels: sharing a pixel's bytes, they would wait for each other.
        """
        schedule = self.schedule
        tile_bytes = schedule.channel_vectors * schedule.lanes // 8
        full_tiles, left = divmod(packed_bytes(self._out_channels), tile_bytes)
        operations = 3 * self.pixels * self._vectors * self._words  # three for a word
        steps = -(-self.pixels // min(schedule.pixels, self.pixels))
        with stretches(steps, self.target, operations) as (begin, end):
            if full_tiles:
                vectors = schedule.channel_vectors
                with T.serial(full_tiles) as tile, T.serial(begin, end) as step:
                    self._emit_step(x, weight, bound, y, step, _Part(tile, vectors, tile_bytes))
            if left:
                vectors = self._vectors - full_tiles * schedule.channel_vectors
                with T.serial(begin, end) as step:
                    self._emit_step(x, weight, bound, y, step, _Part(full_tiles, vectors, left))

    def _emit_step(self, x: Any, weight: Any, bound: Any, y: Any, step: Any, part: _Part) -> None:
        """A few pixels of one tile of channels."""
        schedule = self.schedule
        total = self.pixels
        pixels = min(schedule.pixels, total)
        first_vector, vectors = part.tile * schedule.channel_vectors, part.vectors
        weight_offset = first_vector * (self._words * schedule.vector_bytes)
        bytes_per_vector = schedule.lanes // 8
        # The last tile is moved back inside: it repeats pixels but needs no code of its own.
        first = T.min(step * pixels, total - pixels) if total % pixels else step * pixels
        tile = _Tile(x, weight, first, pixels, weight_offset, vectors)
        masks = self._emit_masks(tile, bound, first_vector)
        rows = [(first + pixel) * self.out_row + self.out_byte for pixel in range(pixels)]
        starts = [row + first_vector * bytes_per_vector for row in rows]
        if self.target.architecture == "aarch64" and schedule.lanes == LANES:
            store_masks(y, starts, masks, part.size)
        else:
            for index, mask in enumerate(masks):
                pixel, vector = divmod(index, vectors)
                done = vector * bytes_per_vector
                written = min(bytes_per_vector, part.size - done)
                store_mask(y, starts[pixel] + done, mask, schedule.lanes, written)

    def _emit_masks(self, tile: _Tile, bound: Any, first_vector: Any) -> list[Any]:
        """Whether the count is below the bound, for each pixel and vector of channels."""
        lanes = self.schedule.lanes
        starts = [(first_vector + vector) * lanes for vector in range(tile.vectors)] * tile.pixels
        if not self.schedule.hand_ordered:
            sums = self._emit_sums(tile)
            return [a < load(bound, start, lanes) for a, start in zip(sums, starts, strict=True)]
        row_bytes = packed_bytes(self._channels)
        first = [(tile.first_pixel + pixel) * row_bytes for pixel in range(tile.pixels)]
        rows = [T.address_of(tile.x[start]) for start in first]
        weights = T.address_of(tile.weight[tile.weight_offset])
        masks = []
        counts = emit_counts(rows, (weights, tile.vectors), self._words)
        for (high, low), start in zip(counts, starts, strict=True):
            if high is None:
                masks.append(low < load(bound, start, lanes))
                continue
            low_bound = load(bound, self._vectors * lanes + start, lanes)
            borrow = T.cast(low < low_bound, f"uint8x{lanes}")
            masks.append(high < load(bound, start, lanes) + borrow)
        return masks

    def _emit_sums(self, tile: _Tile) -> list[Any]:
        """popcount(x xor w) of a tile: a vector of sums for each pixel and vector of channels."""
        word_bytes = self.schedule.lane_bits // 8
        group = WORDS_PER_BYTE_SUM // self.schedule.carry_save_words
        group *= self.schedule.carry_save_words
        whole, rest = divmod(packed_bytes(self._channels), word_bytes)
        sums: list[Any] = []
        for start in range(0, whole, group):
            sums = self._add_counts(sums, self._emit_group(tile, start, min(group, whole - start)))
        if rest:
            sums = self._add_counts(sums, self._emit_counts(tile, whole, 1, rest))
        return sums

    def _add_counts(self, sums: list[Any], counts: list[Any]) -> list[Any]:
        return _add(sums, [self._emit_widen(value) for value in counts])

    def _emit_group(self, tile: _Tile, start: int, words: int) -> list[Any]:
        """Counts of so few words that they fit in bytes, block by block in a loop."""
        block = self.schedule.carry_save_words
        blocks, rest = divmod(words, block)
        counts: list[Any] = []
        if blocks == 1:
            counts = self._emit_counts(tile, start, block)
        elif blocks > 1:
            counts = self._emit_loop(tile, start, blocks)
        if rest:
            counts = _add(counts, self._emit_counts(tile, start + blocks * block, rest))
        return counts

    def _emit_loop(self, tile: _Tile, start: int, blocks: int) -> list[Any]:
        """Add the counts of blocks of words in registers, over a loop."""
        schedule = self.schedule
        dtype = "uint32" if self._counts_are_wide else "uint8"
        lanes = schedule.lanes if self._counts_are_wide else schedule.vector_bytes
        size = tile.pixels * tile.vectors
        accumulators = T.alloc_buffer([size * lanes], dtype)
        for i in range(size):
            store(accumulators, i * lanes, splat(0, dtype, lanes), lanes)
        with T.serial(blocks) as index:
            begin = start + index * schedule.carry_save_words
            counts = self._emit_counts(tile, begin, schedule.carry_save_words)
            for i, value in enumerate(counts):
                total = load(accumulators, i * lanes, lanes) + value
                store(accumulators, i * lanes, total, lanes)
        return [keep(load(accumulators, i * lanes, lanes)) for i in range(size)]

    def _emit_counts(
        self, tile: _Tile, begin: Any, words: int, size: int | None = None
    ) -> list[Any]:
        """Counts of ``words`` words from word ``begin`` on, of ``size`` bytes if not whole."""
        schedule = self.schedule
        word_bytes = schedule.lane_bits // 8

        def difference(pixel: int, vector: int, word: int) -> Any:
            # Written as if each tile element loaded for itself; LLVM shares the loads.
            row = (tile.first_pixel + pixel) * packed_bytes(self._channels)
            start = row + (begin + word) * word_bytes
            value = load_word(tile.x, start, size or word_bytes, schedule.lane_bits)
            row = tile.weight_offset + (begin + word) * (tile.vectors * schedule.vector_bytes)
            start = row + vector * schedule.vector_bytes
            weights = load(tile.weight, start, schedule.vector_bytes)
            weights = T.reinterpret(f"uint{schedule.lane_bits}x{schedule.lanes}", weights)
            return keep(T.broadcast(value, schedule.lanes) ^ weights)

        return [
            self._emit_popcount(difference(pixel, vector, word) for word in range(words))
            for pixel in range(tile.pixels)
            for vector in range(tile.vectors)
        ]

    @property
    def _counts_are_wide(self) -> bool:
        """Whether words are counted to uint32 lanes at once, instead of byte by byte."""
        schedule = self.schedule
        fits = schedule.lane_bits == 32 and schedule.vector_bytes == self.target.vector_bytes
        return fits and has_dot_product(self.target)

    def _emit_popcount(self, words: Iterable[Any]) -> Any:
        """Bits set in the words: in each byte by itself (at most 8 * 31), or in each lane."""
        lanes = self.schedule.vector_bytes
        levels = add_words(words, full_adder(self.target))
        if self._counts_are_wide:
            wide = splat(0, "int32", self.schedule.lanes)
            for weight, level in enumerate(levels):
                for word in level:
                    count = T.popcount(T.reinterpret(f"uint8x{lanes}", word))
                    wide = keep(dot_product(wide, count, splat(1 << weight, "int8", lanes)))
            return T.reinterpret(f"uint32x{self.schedule.lanes}", wide)
        total = None
        for level in reversed(levels):
            if total is not None:
                total = keep(total + total)
            for word in level:
                count = keep(T.popcount(T.reinterpret(f"uint8x{lanes}", word)))
                total = count if total is None else keep(total + count)
        return total

    def _emit_widen(self, counts: Any) -> Any:
        """Byte counts to the dtype of sums: a lane's bytes added up, or widened."""
        lanes = self.schedule.lanes
        if self._counts_are_wide:
            return counts
        if self.schedule.lane_bits == 8:
            return T.cast(counts, f"{self._sum_dtype}x{lanes}")
        wide = keep(T.reinterpret(f"uint32x{lanes}", counts))
        every_other = splat(0x00FF00FF, "uint32", lanes)
        pairs = keep((wide & every_other) + ((wide >> splat(8, "uint32", lanes)) & every_other))
        fours = pairs + (pairs >> splat(16, "uint32", lanes))
        return keep(fours & splat(0xFFFF, "uint32", lanes))


def _add(a: list[Any], b: list[Any]) -> list[Any]:
    """Sum element by element; an empty list is zero."""
    if not a or not b:
        return a or b
    return [keep(left + right) for left, right in zip(a, b, strict=True)]
