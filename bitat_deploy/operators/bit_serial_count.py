"""The inner loops of bit-serial convolutions, which count agreeing bits of windows and filters.

How counting goes in lanes of 8 and of 32 bits is in :mod:`.bit_planes`. Here are the loops around
it: over the runs of a window, over words of a run, and over the pairs of planes, for a tile of
pixels x vectors of output channels. Short ones are straight-line code, long ones a loop of
blocks whose counts are added to totals.
"""

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T

from bitat_deploy.operators.bit_planes import MAXIMUM_OF_BYTE, count_in_lanes32
from bitat_deploy.operators.vector_code import keep, load, load_word, splat, store, vector_dtype
from bitat_deploy.target import Target

_UNROLLED = 192  # word pairs of a tile in straight-line code


@dataclass(frozen=True, eq=False)
class CountTile:
    """One step's buffers, and where its pixels and its weights begin.

    ``x`` holds a word of plane j of a pixel p at ``starts(j, p, run)`` plus the word's offset.
    """

    x: Any
    weight: Any
    starts: Any
    pixels: int
    weight_offset: Any
    vectors: int


@dataclass(frozen=True)
class WindowCount:
    """Weighted counts of agreeing bits: sum over planes i, j of 2^(i + j) * agreements.

    A window is ``runs`` runs of ``run_bytes``, read in words of ``lane_bits`` (8 or 32), of which
    ``words`` are counted at once. Totals are of ``value_dtype``, in which they fit.
    """

    target: Target
    lane_bits: int
    words: int
    value_dtype: str
    runs: int
    run_bytes: int
    weight_bits: int
    code_bits: int

    @property
    def lanes(self) -> int:
        """Output channels in a vector."""
        return self.target.vector_bytes * 8 // self.lane_bits

    @property
    def run_words(self) -> int:
        """Words of a run; the last one may not be whole."""
        return -(-self.run_bytes * 8 // self.lane_bits)

    @property
    def pairs(self) -> int:
        """Pairs of planes."""
        return self.weight_bits * self.code_bits

    @property
    def levels(self) -> int:
        """Different weights 2^(i + j) of pairs."""
        return self.weight_bits + self.code_bits - 1

    def emit(self, tile: CountTile) -> list[Any]:
        """Weighted counts of agreeing bits: a vector for each pixel and vector of channels."""
        dtype, lanes = self.value_dtype, self.lanes
        size = tile.pixels * tile.vectors
        totals = [T.alloc_buffer([lanes], dtype) for _ in range(size)]
        for total in totals:
            store(total, 0, splat(0, dtype, lanes), lanes)

        def add(counts: list[Any]) -> None:
            for total, count in zip(totals, counts, strict=True):
                store(total, 0, load(total, 0, lanes) + count, lanes)

        whole, rest = divmod(self.run_bytes * 8, self.lane_bits)
        straight = self.runs * self.run_words
        if straight * self.pairs * size <= _UNROLLED and straight <= self._block:
            words = [(run, word) for run in range(self.runs) for word in range(self.run_words)]
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
        if self.lane_bits == 32:
            return self.words
        return MAXIMUM_OF_BYTE // 8 // min(self.weight_bits, self.code_bits)

    def _emit_run(self, tile: CountTile, run: Any, whole: int, rest: int, add: Any) -> None:
        """Add the counts of a run: blocks of words in a loop, then what is left."""
        block = min(self._block, whole) or 1
        blocks, left = divmod(whole, block)

        def emit_block(start: Any, size: int) -> None:
            if self.lane_bits == 32:
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

    def _emit_counts(self, tile: CountTile, words: list[tuple[Any, Any]], rest: int) -> list[Any]:
        """Counts of words in straight-line code; a run's last word has ``rest`` bytes if not 0."""
        indices = [(pixel, v) for pixel in range(tile.pixels) for v in range(tile.vectors)]
        if self.lane_bits == 32:
            return [
                count_in_lanes32(
                    self._emit_differences(tile, pixel, vector, words, rest),
                    self.lanes,
                    self.target,
                )
                for pixel, vector in indices
            ]
        counts = []
        for pixel, vector in indices:
            levels: list[Any] = [None] * self.levels
            for word, level in self._emit_differences(tile, pixel, vector, words, rest):
                count = keep(T.popcount(word))
                known = levels[level]
                levels[level] = count if known is None else keep(known + count)
            counts.append(self._emit_widened(levels))
        return counts

    def _emit_byte_loop(self, tile: CountTile, run: Any, start: Any, size: int) -> list[Any]:
        """Counts of ``size`` words, one level in a byte at a time, in a loop."""
        lanes, step = self.lanes, self.words
        indices = [(pixel, v) for pixel in range(tile.pixels) for v in range(tile.vectors)]
        sums = [[T.alloc_buffer([lanes], "uint8") for _ in range(self.levels)] for _ in indices]
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
        dtype = vector_dtype(self.value_dtype, self.lanes)
        total = None
        for level, count in enumerate(levels):
            if count is None:
                continue
            wide = T.cast(count, dtype) << splat(level, self.value_dtype, self.lanes)
            total = wide if total is None else total + wide
        return keep(total)

    def _emit_differences(
        self, tile: CountTile, pixel: int, vector: int, words: list[tuple[Any, Any]], rest: int
    ) -> Any:
        """(code xor complemented weight, level) of each word and pair of planes."""
        bits, lanes = self.lane_bits, self.lanes
        size, vector_bytes = bits // 8, self.target.vector_bytes
        planes = self.weight_bits
        for run, word in words:
            last = rest and isinstance(word, int) and word == self.run_words - 1
            codes = [
                load_word(
                    tile.x, tile.starts(j, pixel, run) + word * size, rest if last else size, bits
                )
                for j in range(self.code_bits)
            ]
            if last and rest > 1:
                codes = [keep(code) for code in codes]
            for i in range(planes):
                row = (run * self.run_words + word) * planes + i
                start = tile.weight_offset + (row * tile.vectors + vector) * vector_bytes
                weights = load(tile.weight, start, vector_bytes)
                weights = T.reinterpret(f"uint{bits}x{lanes}", weights)
                for j, code in enumerate(codes):
                    yield keep(T.broadcast(code, lanes) ^ weights), i + j
