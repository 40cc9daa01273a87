"""Counting agreeing bits by look-up: how often a few inputs agree with the weights of 32 channels.

Algebra. As in :mod:`.bit_serial_conv` a value is A = sum_j 2^j (inputs whose bit in plane j agrees
with the weight), for weights of one bit. Of ``inputs`` inputs (3 to 7) at a time the agreements are
looked up in a table that has an entry for each of the 2^inputs patterns that a pixel may have.

Layout. An entry has 4 bits for each of 32 channels: one vector of 16 bytes, of which byte b has
channels b and 16 + b. 15 // inputs look-ups can be added before a number might not fit. Then the
bytes are added up (modulo 256), and so are their upper halves: ``high``; the lower halves are
total - 16 * high. A byte's sums are added to 16 bits in memory after each *span* of words, whose
tables fit into the first level of cache. Tables are made of packed weights, by addition of one
input's difference after the other: [tile][word][vector], where a vector has the bits of
4 / channel_vectors inputs.

Instructions on NEON for each look-up of a tile of n vectors: 2 for the address, n loads, 4 n / 3
others (of 4 inputs): 11.3 for 4 x 128 binary multiply-accumulates with n = 4, no popcounts and no
broadcasts; and no chains that a processor must wait for. A table costs 2^inputs additions and
stores for each vector of channels, so it pays from some 50 pixels on. No pixels are rounded up.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.operators.ordered_lookups import VECTOR, LookupSums, word_entries
from bitat_deploy.operators.vector_code import (
    keep,
    load,
    load_word,
    parts,
    splat,
    store,
)
from bitat_deploy.target import Target

LANES = 16  # of a vector of values

_WORD = 64  # inputs whose bits are loaded together
_LARGEST_BYTE = 255

_TABLES_PAY, _MANY_PIXELS = 32, 500  # pixels from which on tables pay, and tables of 5 inputs
_LARGE_CACHE = 64  # KiB of the first level, in which these pay from fewer pixels on


@dataclass(frozen=True)
class LookupSchedule:
    """What can be chosen without a change of the result.

    ``inputs`` are looked up together; tables are of ``channel_vectors`` (1, 2 or 4) vectors of 32
    channels and of ``table_words`` words of 64 inputs at a time.
    """

    inputs: int
    channel_vectors: int
    table_words: int

    @property
    def table_bytes(self) -> int:
        """Bytes of the tables."""
        return self.table_words * word_entries(_WORD, self.inputs) * self.channel_vectors * VECTOR


def default_lookups(target: Target, pixels: int, inputs: int, out: int) -> LookupSchedule | None:
    """The fastest modelled at such a size; None where counting is faster."""
    pays = pixels >= _TABLES_PAY and inputs >= _WORD and out >= 2 * LANES
    if target.architecture != "aarch64" or not pays:
        return None
    count = 5 if pixels >= _MANY_PIXELS or target.l1d_kib >= _LARGE_CACHE else 4
    vectors = 2 if out >= 4 * LANES else 1
    schedules = (
        LookupSchedule(count, vectors, words) for words in (3, 2, 1) if words <= inputs // _WORD
    )
    return next(one for one in schedules if one.table_bytes <= _room(target))


def _room(target: Target) -> int:
    """Bytes for tables in the first level of cache, beside what else is needed there."""
    return target.l1d_kib * 1024 * 13 // 16


def lookup_space(target: Target, inputs: int, out: int) -> tuple[LookupSchedule, ...]:
    """Schedules whose tables fit into the first level of cache, with some room.

    Left out is what the Cortex-A72 modelled slower: tables of 3 and 6 inputs, tiles of 4 vectors.
    """
    if target.architecture != "aarch64":
        return ()
    vectors = -(-out // (2 * LANES))
    schedules = (
        LookupSchedule(count, size, words)
        for count in (4, 5)
        for size in (1, 2)
        for words in (1, 2, 3)
        if size <= vectors and words <= max(1, inputs // _WORD)
    )
    return tuple(one for one in schedules if one.table_bytes <= _room(target))


@dataclass(frozen=True, eq=False)
class LookupCounts:
    """Values of all pixels of a convolution without groups.

    A window is ``runs`` runs of ``run_bytes`` bytes of each of ``code_bits`` planes. ``out``
    are its output channels.
    """

    target: Target
    schedule: LookupSchedule
    runs: int
    run_bytes: int
    code_bits: int
    out: int

    @property
    def vectors(self) -> int:
        """Vectors of 32 channels."""
        return -(-self.out // (2 * LANES))

    @property
    def _run_words(self) -> int:
        return -(-self.run_bytes * 8 // _WORD)

    @property
    def _words(self) -> int:
        return self.runs * self._run_words

    def _tiles(self) -> Iterator[tuple[int, int]]:
        """(first vector, vectors) of each tile; sizes are powers of 2."""
        first = 0
        while first < self.vectors:
            left = self.vectors - first
            size = min(self.schedule.channel_vectors, 1 << (left.bit_length() - 1))
            yield first, size
            first += size

    def weights(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``bits`` uint8 {0, 1} [out, runs, 8 * run_bytes] in our layout; flat."""
        inputs = self._run_words * _WORD
        spare = ((0, self.vectors * 2 * LANES - self.out), (0, 0), (0, inputs - bits.shape[2]))
        words = np.pad(bits, spare).reshape(self.vectors, 2, LANES, self._words, _WORD)
        tiles = []
        for first, size in self._tiles():
            slots = 4 // size
            tile = words[first : first + size].reshape(size, 2, LANES, self._words, -1, slots)
            # bit 4 * half + slot * size + vector of byte [word][input // slots][lane]
            ordered = tile.transpose(3, 4, 2, 1, 5, 0).reshape(self._words, -1, LANES, 8)
            tiles.append(np.packbits(ordered, axis=-1, bitorder="little").ravel())
        return np.concatenate(tiles)

    def emit(
        self,
        buffers: tuple[Any, Any],
        size: tuple[int, int],
        address: Callable[[Any, Any, int, Any], Any],
        finish: Callable[[Any, Any, Any, list[Any]], None],
    ) -> None:
        """Tile by tile, span by span: tables, then all pixels. Threads share tiles, or else rows.

        ``buffers`` are the input and the weights, ``size`` the output's height and width.
        ``address(row, column, plane, run)`` is where a run of an output pixel's window begins.
        ``finish(row, column, vector, values)`` gets vectors of 16 values (uint16) from ``vector``
        on: a number where the last ones have spare channels.
        """
        tiles = list(self._tiles())
        ragged = tiles[-1:] if self.out % (2 * LANES) else []
        whole = tiles[: len(tiles) - len(ragged)]
        for number in sorted({number for _, number in whole}, reverse=True):
            firsts = [first for first, other in whole if other == number]
            chunks = max(1, min(size[0], -(-self.target.cores // len(firsts))))
            with parts(len(firsts) * chunks, self.target) as index:
                chunk, tile = T.truncdiv(index, len(firsts)), T.truncmod(index, len(firsts))
                place = (firsts[0] + tile * number, number)
                self._emit_rows(buffers, (chunk, chunks), size, place, address, finish)
        for place in ragged:
            chunks = min(size[0], self.target.cores)
            with parts(chunks, self.target) as chunk:
                self._emit_rows(buffers, (chunk, chunks), size, place, address, finish)

    def _emit_rows(
        self,
        buffers: tuple[Any, Any],
        chunk: tuple[Any, int],
        size: tuple[int, int],
        tile: tuple[Any, int],
        address: Any,
        finish: Any,
    ) -> None:
        """A tile, in a part of the rows: its number and how many there are."""
        x, weight = buffers
        height, width = size
        first, vectors = tile
        number, chunks = chunk
        rows = (number * height // chunks, (number + 1) * height // chunks)
        if chunks == 1:
            rows = (0, height)
        table = T.alloc_buffer([self.schedule.table_bytes], "uint8")
        state = T.alloc_buffer([-(-height // chunks) * width * vectors * 2 * LANES], "uint16")
        whole = _Tile(self, x, weight, table, state, first, vectors)
        self._emit_tile(whole, rows, width, address, finish)

    def _emit_tile(
        self, tile: "_Tile", rows: tuple[Any, Any], width: int, address: Any, finish: Any
    ) -> None:
        begin, end = rows
        last_bits = self.run_bytes * 8 - (self._run_words - 1) * _WORD
        count = self.schedule.table_words
        whole = self._words if last_bits == _WORD else 0

        def emit_span(
            first: Any, words: int, bits: list[int], is_first: bool, is_last: bool
        ) -> None:
            entry = 0
            for number in range(words):
                tile.emit_tables(first + number, entry, bits[number])
                entry += word_entries(bits[number], self.schedule.inputs)
            with T.serial(end - begin) as line, T.serial(width) as column:
                row = begin + line

                def start(plane: int, number: int) -> Any:
                    word = first + number
                    run, within = word // self._run_words, word % self._run_words
                    return address(row, column, plane, run) + within * (_WORD // 8)

                place = (line * width + column) * (tile.size * 2 * LANES)
                values = tile.emit_values(start, bits)
                if not is_first:
                    values = tile.added(values, place)
                if is_last:
                    finish(row, column, tile.first * 2, values)
                else:
                    tile.keep_waiting(values, place)

        spans = [(first, min(count, self._words - first)) for first in range(0, self._words, count)]
        middle = [span for span in spans[1:-1] if span[1] == count]
        loops = whole and len(middle) > 2
        for number, (first, words) in enumerate(spans):
            if loops and 1 < number < len(spans) - 1:
                continue
            bits = [
                last_bits if (first + i + 1) % self._run_words == 0 else _WORD for i in range(words)
            ]
            if loops and number == 1:
                with T.serial(len(middle)) as span:
                    emit_span(first + span * count, words, bits, False, False)
            else:
                emit_span(first, words, bits, number == 0, number == len(spans) - 1)


@dataclass(frozen=True, eq=False)
class _Tile:
    """A tile of ``size`` vectors of 32 channels from vector ``first`` on, and its buffers."""

    kernel: LookupCounts
    x: Any
    weight: Any
    table: Any
    state: Any
    first: Any
    size: int

    def emit_tables(self, word: Any, first_entry: int, bits: int) -> None:
        """The tables of a word's ``bits`` inputs, behind those of the words before."""
        schedule, slots = self.kernel.schedule, 4 // self.size
        base = first_entry * self.size * VECTOR
        # Of all tiles before: their vectors of 32 channels have 4 bytes for each input.
        inputs = self.kernel._words * _WORD
        weights = self.first * (inputs * 4) + word * (_WORD * 4 * self.size)
        full, rest = divmod(bits, schedule.inputs)
        period = slots // math.gcd(slots, schedule.inputs)
        entry_bytes = self.size * VECTOR
        group_bytes = (1 << schedule.inputs) * entry_bytes

        def emit(index: Any, within: int, count: int) -> None:
            """Group ``index * period + within``, of ``count`` inputs."""
            start = within * schedule.inputs  # counted from the block's first input
            block = weights + index * (period * schedule.inputs // slots * VECTOR)
            place = base + (index * period + within) * group_bytes
            differences: list[list[Any]] = [[] for _ in range(self.size)]
            entries = []
            for vector in range(self.size):
                zero = None
                for i in range(start, start + count):
                    bit = i % slots * self.size + vector
                    packed = load(self.weight, block + i // slots * VECTOR, VECTOR)
                    ones = keep(_shifted(packed, bit) & splat(0x11, "uint8", VECTOR))
                    twice = ones + ones
                    differences[vector].append(keep(twice - splat(0x11, "uint8", VECTOR)))
                    disagree = splat(0x11, "uint8", VECTOR) - ones
                    zero = keep(disagree if zero is None else zero + disagree)
                entries.append([zero])
            for i in range(count):
                for vector in range(self.size):
                    known = entries[vector]
                    entries[vector] = known + [keep(e + differences[vector][i]) for e in known]
            for code in range(1 << count):
                for vector in range(self.size):
                    offset = place + code * entry_bytes + vector * VECTOR
                    store(self.table, offset, entries[vector][code], VECTOR)

        blocks, left = divmod(full, period)
        if blocks:
            with T.serial(blocks) as index:
                for within in range(period):
                    emit(index, within, schedule.inputs)
        for within in range(left):
            emit(blocks, within, schedule.inputs)
        if rest:
            emit(blocks, left, rest)

    def emit_values(self, start: Any, bits: list[int]) -> list[Any]:
        """Weighted counts of a pixel and a span: uint16x16 for each half of each vector."""
        planes = self.kernel.code_bits
        sums = [self._emit_plane(start, plane, bits) for plane in range(planes)]
        values = []
        in_bytes = sum(bits) * ((1 << planes) - 1) <= _LARGEST_BYTE
        for index in range(2 * self.size):
            terms = [plane[index] for plane in sums]
            dtype = "uint8" if in_bytes else "uint16"
            total = None
            for plane, term in enumerate(terms):
                wide = term if in_bytes else T.cast(term, f"uint16x{LANES}")
                wide = wide << splat(plane, dtype, LANES) if plane else wide
                total = wide if total is None else total + wide
            values.append(keep(T.cast(keep(total), f"uint16x{LANES}")))
        return values

    def _emit_plane(self, start: Any, plane: int, bits: list[int]) -> list[Any]:
        """Counts of one plane: uint8x16, the lower and the upper half of each vector."""
        words = []
        for number, count in enumerate(bits):
            word = load_word(self.x, start(plane, number), -(-count // 8), 64)
            words.append(keep(T.cast(word, "uint64")))
        sums = LookupSums(tuple(bits), self.kernel.schedule.inputs, self.size)
        return sums.emit(words, self.table.access_ptr("rw", offset=0))

    def added(self, values: list[Any], place: Any) -> list[Any]:
        """The values and those that wait at ``place``."""
        return [
            keep(value + load(self.state, place + index * LANES, LANES))
            for index, value in enumerate(values)
        ]

    def keep_waiting(self, values: list[Any], place: Any) -> None:
        """Store values for the next span."""
        for index, value in enumerate(values):
            store(self.state, place + index * LANES, value, LANES)


def _shifted(packed: Any, bit: int) -> Any:
    return packed >> splat(bit, "uint8", VECTOR) if bit else packed
