"""The binary 1x1 convolution by tables: bit-sliced sums of three inputs at a time, looked up.

Algebra. An output's sum of +1 and -1 over K inputs is 2 a - K, where a counts the inputs at which
x and w agree; ``sum >= threshold`` is ``a >= need`` with need = floor((threshold + K + 1) / 2),
clipped to 0 .. K + 1. With P the number of bits of K, that is bit P of a + (2^P - need): the
threshold is where the count begins, and the packed output is its highest bit plane.

Layout. Every bit position of a vector is an output channel, and counts are bit-sliced, as in the
depthwise convolution. How often three inputs agree with their weights is a number of two bits: two
words, for each of the eight values that the three inputs can have. All are computed once, into a
table of 16 vectors; a pixel looks up its two words by three of its bits and adds them with full
adders to its bit planes. Tables are made for ``table_words`` words of 64 inputs (21 threes and one
single bit) at a time, which should fit into the first level of cache; where that is not all of K,
the bit planes of every pixel wait in memory.

Instructions. 43 words for 64 inputs, of which every full adder removes one: 42 full adders and
about 7 operations for the carries, 43 loads, 22 indices of two operations. On NEON (3 operations
each) 133 vector operations for 64 x 128 binary multiply-accumulates, 2.1 for every 128, where xor,
popcount and add take 3; on AVX-512 (2 each) 91 for 64 x 512. A table costs 16 stores and 18 (NEON
about 30) operations for every three inputs: little, from some 30 pixels on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import pack_bits
from bitat_deploy.operators.carry_save import add_levels, add_weighted_words, full_adder
from bitat_deploy.operators.ordered_tables import Lookup, WordSums
from bitat_deploy.operators.vector_code import (
    keep,
    load,
    load_word,
    parts,
    sharing_threads,
    store,
)
from bitat_deploy.target import Target

_WORD = 64  # inputs whose bits are loaded together
_PIXELS_OF_A_THREAD = 32  # at least: each thread computes the tables
_WRITES_ARE_FEW = 256  # inputs from which on a pixel takes so long that its write does not count


@dataclass(frozen=True)
class _Group:
    """Inputs that are looked up together: the first one's bit, how many, where the table begins."""

    first: int
    inputs: int
    vector: int

    @property
    def planes(self) -> int:
        """Words of weight 1, 2 that say how many of them agree."""
        return self.inputs.bit_length()


@dataclass(frozen=True, eq=False)
class TableKernel:
    """``weight`` uint8 {0, 1} [out, channels], out a multiple of a vector's bits; for all pixels.

    Writes ``out`` / 8 bytes from byte ``out_byte`` of each of the ``out_row`` bytes of a pixel.
    """

    weight: NDArray[np.uint8]
    threshold: NDArray[np.int32]
    pixels: int
    in_row: int
    out_row: int
    out_byte: int
    vector_bytes: int
    table_words: int
    target: Target

    @property
    def _channels(self) -> int:
        return self.weight.shape[1]

    @property
    def _tiles(self) -> int:
        return self.weight.shape[0] // (8 * self.vector_bytes)

    @property
    def _top(self) -> int:
        """The bit plane that is the output."""
        return self._channels.bit_length()

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Weights [tile][channel][byte], then where counts begin: [tile][plane][byte]; flat."""
        tiled = self.weight.reshape(self._tiles, 8 * self.vector_bytes, self._channels)
        weight = pack_bits(tiled.transpose(0, 2, 1))
        need = (self.threshold.astype(np.int64) + self._channels + 1) // 2
        begin = 2**self._top - np.clip(need, 0, self._channels + 1)
        planes = np.array([(begin >> plane) & 1 for plane in range(self._top + 1)])
        planes = planes.reshape(self._top + 1, self._tiles, -1).transpose(1, 0, 2)
        return weight.ravel(), pack_bits(planes).ravel()

    def emit(self, x: Any, weight: Any, begin: Any, y: Any) -> None:
        """Tile by tile of output channels: tables of a block of inputs, then all pixels."""
        whole, rest = divmod(self._channels, _WORD)
        words = min(self.table_words, max(whole, 1))
        spans = [(first, min(words, whole - first), _WORD) for first in range(0, whole, words)]
        if rest:
            spans.append((whole, 1, rest))
        vector, planes = self.vector_bytes, self._top + 1
        # Threads share the pixels, each with tables of its own, or the tiles: not where they would
        # often write to the same cache line.
        operations = 2 * self.pixels * self._channels * self._tiles  # two for every input
        threads = sharing_threads(self.target, operations)
        by_tile = self._tiles >= threads and self._channels >= _WRITES_ARE_FEW
        most = 1 if by_tile else self.pixels // _PIXELS_OF_A_THREAD
        chunks = max(1, min(threads, most))
        pixels = -(-self.pixels // chunks)
        with parts(self._tiles * chunks, self.target, operations) as index:
            chunk, tile = T.truncdiv(index, self._tiles), T.truncmod(index, self._tiles)
            first_pixel = T.min(chunk * pixels, self.pixels - pixels)
            table = T.alloc_buffer([words * _table_vectors(_WORD) * vector], "uint8")
            waiting = pixels * planes * vector if len(spans) > 1 else 1
            state = T.alloc_buffer([waiting], "uint8")
            for first, count, bits in spans:
                self._emit_tables(weight, table, tile, first, count, bits)
                with T.serial(pixels) as pixel:
                    here, place = first_pixel + pixel, pixel * (planes * vector)
                    before = (state, place) if first else (begin, tile * (planes * vector))
                    after = (state, place)
                    if (first, count, bits) == spans[-1]:
                        after = (y, here * self.out_row + self.out_byte + tile * vector)
                    self._emit_pixel(x, table, here, (first, count, bits), before, after)

    def _emit_pixel(
        self,
        x: Any,
        table: Any,
        pixel: Any,
        span: tuple[int, int, int],
        before: tuple[Any, Any],
        after: tuple[Any, Any],
    ) -> None:
        """Add what the words of a span look up to planes before; write all, or the top one to y.

        A span is its first word, their number and their bits; planes are where (buffer, offset) is.
        """
        first, count, bits = span
        vector, planes = self.vector_bytes, self._top + 1
        top_only = first * _WORD + (count - 1) * _WORD + bits == self._channels
        row = pixel * self.in_row + first * (_WORD // 8)
        word_bytes = -(-bits // 8)
        if WordSums.is_possible(self.target, vector, word_bytes, planes):
            lookups = tuple(
                Lookup(group.first, group.inputs, group.planes, group.vector * vector)
                for group in _groups(bits)
            )
            size = _table_vectors(_WORD) * vector
            in_pairs = WordSums.pairs_pay(self.target)
            sums = WordSums(lookups, count, word_bytes, size, planes, top_only, in_pairs)
            places = [(x, row), (table, 0), before, after]
            # Not T.address_of: TVM would cut a buffer that is not used otherwise to that element.
            sums.emit(*(buffer.access_ptr("rw", offset=offset) for buffer, offset in places))
            return
        (source, start), (to, place) = before, after
        values = [load(source, start + p * vector, vector) for p in range(planes)]
        values = self._emit_sums(x, table, pixel, values, first, count, bits)
        for p, plane in enumerate(values[-1:] if top_only else values):
            store(to, place + p * vector, plane, vector)

    def _emit_tables(
        self, weight: Any, table: Any, tile: Any, first_word: int, count: int, bits: int
    ) -> None:
        """Tables of ``count`` words of inputs, of which ``bits`` are used."""
        vector = self.vector_bytes
        groups = list(_groups(bits))
        threes = sum(group.inputs == 3 for group in groups)

        def emit(word: Any, group: _Group, index: Any) -> None:
            channel = (first_word + word) * _WORD + index * 3
            base = word * _table_vectors(_WORD) + index * 16
            first = (tile * self._channels + channel) * vector
            ones = [load(weight, first + i * vector, vector) for i in range(group.inputs)]
            sides = [(keep(~one), keep(one)) for one in ones]
            for code in range(1 << group.inputs):
                agree = [side[(code >> i) & 1] for i, side in enumerate(sides)]
                for plane, value in enumerate(self._counts(agree)):
                    place = (base + code * group.planes + plane) * vector
                    store(table, place, value, vector)

        with T.serial(count) as word:
            if threes:
                with T.serial(threes) as index:
                    emit(word, groups[0], index)
            if threes < len(groups):
                emit(word, groups[-1], threes)

    def _counts(self, words: list[Any]) -> list[Any]:
        """How many of one to three words have a bit, as one or two words."""
        if len(words) == 1:
            return words
        if len(words) == 2:
            return [words[0] ^ words[1], words[0] & words[1]]
        return list(full_adder(self.target)(*words))

    def _emit_sums(
        self,
        x: Any,
        table: Any,
        pixel: Any,
        sums: list[Any],
        first_word: int,
        count: int,
        bits: int,
    ) -> list[Any]:
        """Add what a pixel's words look up to its bit planes."""
        vector = self.vector_bytes
        adder = full_adder(self.target)

        def add(sums: list[Any], word: Any) -> list[Any]:
            start = pixel * self.in_row + (first_word + word) * (_WORD // 8)
            size = -(-bits // 8)
            width = 8 * size if size in (1, 2, 4, 8) else 64
            value = keep(load_word(x, start, size, width))
            here = word * (_table_vectors(_WORD) * vector)

            def words() -> Iterator[tuple[Any, int]]:
                yield from ((plane, level) for level, plane in enumerate(sums))
                for group in _groups(bits):
                    mask = T.uint64((1 << group.inputs) - 1)
                    code = (T.cast(value, "uint64") >> T.uint64(group.first)) & mask
                    place = T.cast(code, "int32") * (group.planes * vector)
                    place = here + place + group.vector * vector
                    for level in range(group.planes):
                        yield load(table, place + level * vector, vector), level

            return add_levels(add_weighted_words(words(), adder), adder)[: len(sums)]

        if count == 1:
            return add(sums, 0)
        registers = T.alloc_buffer([len(sums) * vector], "uint8")
        for p, plane in enumerate(sums):
            store(registers, p * vector, plane, vector)
        with T.serial(count) as word:
            held = [load(registers, p * vector, vector) for p in range(len(sums))]
            for p, plane in enumerate(add([keep(plane) for plane in held], word)):
                store(registers, p * vector, plane, vector)
        return [load(registers, p * vector, vector) for p in range(len(sums))]


def _groups(bits: int) -> Iterator[_Group]:
    """Threes, then what is left, of a word of which ``bits`` are used."""
    vector = 0
    for first in range(0, bits, 3):
        group = _Group(first, min(3, bits - first), vector)
        yield group
        vector += (1 << group.inputs) * group.planes


def _table_vectors(bits: int) -> int:
    """Vectors of the tables of a word."""
    return sum((1 << group.inputs) * group.planes for group in _groups(bits))
