"""Counting differing bits on 64-bit ARM, with the instructions ordered by hand.

A processor that issues in order waits for each operand, and LLVM's order leaves it waiting for a
third of the time. So the counting loop of the 1x1 convolution (:mod:`.pointwise_counts`) exists
as assembly, too: in a function of LLVM IR, which TVM imports and LLVM inlines.

Order. A *slot* is a pixel and a word of 8 bits: ``dup`` of the word, then eor, cnt and add, one for
each vector of the tile. Slots overlap: the adds are those of the slot before last, the counts those
of the last one, so that six instructions or more lie between each and what it needs. The weights of
a word are loaded in its first slot, one with every second vector operation: a load of 16 bytes
takes two cycles. The words of a chunk are loaded between its first adds, and its first ``dup``
comes after the counts have begun. The register that a slot's word was spread to takes the last
vector's difference.

Registers, for 4 pixels x 4 vectors: 16 sums, 2 x 4 differences, 4 weights, 4 times 8 words of a
pixel: all 32.

Sums. 31 words add at most 248 to a byte. Where there are more, every 24 words the upper half of
each byte is added to a second byte in memory, and the lower half stays: sum = 16 * high + low.

Instructions for 2048 binary multiply-accumulates: 48 as in LLVM's order, 4 dup and 4 loads. By the
model of the Cortex-A53 (:mod:`bitat_deploy.cycle_model.pipeline`) every cycle starts one of the 52
vector operations, and the loads beside them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T

from bitat_deploy.operators.vector_code import keep, load

VECTOR = 16  # bytes
MAXIMUM_CHANNELS = 254 * 16  # of which counts and bounds fit

_REGISTERS = 32
_CHUNK = 8  # words that are loaded together
_CHUNKS_OF_BYTE = 3  # whose counts fit in a byte, with 15 there before and less than a chunk more
_LOADS = {4: "s", 2: "h", 1: "b"}  # registers' names by bytes


def has_registers(pixels: int, vectors: int) -> bool:
    """Whether a tile fits in the registers."""
    return pixels * vectors + 3 * vectors + max(pixels, 4) <= _REGISTERS


def has_high_bytes(words: int) -> bool:
    """Whether counts of so many words are more than a byte each."""
    return words > _CHUNK * (_CHUNKS_OF_BYTE + 1) - 1


def emit_counts(rows: list[Any], weights: Any, words: int) -> list[tuple[Any, Any]]:
    """Differing bits in ``words`` bytes of pixels and of channels: (high, low) for each.

    ``rows`` are the addresses of the pixels' words, ``weights`` that of [word][vector][lane] and
    the number of vectors. Both counts are uint8x16; high is None where :func:`has_high_bytes` says
    that low is all.
    """
    address, vectors = weights
    size = len(rows) * vectors
    code = _Code(len(rows), vectors, words)
    low = T.alloc_buffer([size * VECTOR], "uint8")
    high = T.alloc_buffer([size * VECTOR], "uint8") if has_high_bytes(words) else None
    addresses = [*rows, address, T.address_of(low[0])]
    addresses += [] if high is None else [T.address_of(high[0])]
    with T.attr(T.int32(0), "pragma_import_llvm", code.function()):
        T.evaluate(T.call_extern("void", code.name, *addresses))
    return [
        (None if high is None else keep(load(high, i, VECTOR)), keep(load(low, i, VECTOR)))
        for i in range(0, size * VECTOR, VECTOR)
    ]


@dataclass(frozen=True)
class _Code:
    """The assembly for a tile of ``pixels`` x ``vectors`` and so many words."""

    pixels: int
    vectors: int
    words: int

    @property
    def name(self) -> str:
        """The function's; it says all that the code depends on."""
        return f"bitat_deploy_counts_{self.pixels}x{self.vectors}_{self.words}"

    def function(self) -> str:
        """LLVM's text: a function of the rows, the weights, the low and the high sums."""
        pointers = self.pixels + 2 + has_high_bytes(self.words)
        parameters = ", ".join(f"ptr %p{i}" for i in range(pointers))
        # Pointers are changed: each is an output, too. Then come three numbers.
        outputs = pointers + 3
        types = ", ".join(["ptr"] * pointers + ["i64"] * 3)
        constraints = ["=&r"] * outputs + [str(i) for i in range(pointers)]
        constraints += [f"~{{v{i}}}" for i in range(_REGISTERS)] + ["~{cc}", "~{memory}"]
        text = "\\0A".join(self._lines())
        return (
            f"define void @{self.name}({parameters}) {{\n"
            f'  %1 = call {{ {types} }} asm sideeffect "{text}", "{",".join(constraints)}"'
            f"({parameters})\n"
            "  ret void\n}\n"
        )

    # Operands of the assembly.

    def _row(self, pixel: int) -> str:
        return f"${pixel}"

    @property
    def _weights(self) -> str:
        return f"${self.pixels}"

    @property
    def _low(self) -> str:
        return f"${self.pixels + 1}"

    @property
    def _high(self) -> str:
        return f"${self.pixels + 2}"

    @property
    def _numbers(self) -> tuple[str, str, str]:
        """Bytes of the rows that are done; how many chunks and groups are left."""
        first = self.pixels + 2 + has_high_bytes(self.words)
        return f"${first}", f"${first + 1}", f"${first + 2}"

    # Registers.

    def _sum(self, pixel: int, vector: int) -> str:
        return f"v{pixel * self.vectors + vector}.16b"

    def _difference(self, slot: int, vector: int) -> str:
        return f"v{self.pixels * self.vectors + slot % 2 * self.vectors + vector}.16b"

    def _weight(self, vector: int) -> int:
        return self.pixels * self.vectors + 2 * self.vectors + vector

    def _loaded(self, pixel: int) -> int:
        return self._weight(self.vectors) + pixel

    def _lines(self) -> Iterator[str]:
        done, _, groups_left = self._numbers
        chunks, rest = divmod(self.words, _CHUNK)
        size = self.pixels * self.vectors
        yield from (f"movi v{register}.2d, #0" for register in range(self._weight(0)))
        yield f"mov {done}, #0"
        if has_high_bytes(self.words):
            for index in range(size):
                yield f"str q{index}, [{self._high}, #{index * VECTOR}]"
            groups, chunks = divmod(chunks, _CHUNKS_OF_BYTE)
            yield f"mov {groups_left}, #{groups}"
            yield ".LBBgroups${:uid}:"
            yield from self._chunks(_CHUNKS_OF_BYTE, "chunks")
            yield from self._fold()
            yield f"subs {groups_left}, {groups_left}, #1"
            yield "b.ne .LBBgroups${:uid}"
        if chunks:
            yield from self._chunks(chunks, "rest")
        for pixel in range(self.pixels if rest else 0):
            yield f"add {self._row(pixel)}, {self._row(pixel)}, {done}"
            yield from self._load_few(pixel, rest)
        yield from self._slots(rest)
        yield from self._end(self.pixels * rest)
        if has_high_bytes(self.words):
            yield from self._fold()
        for index in range(size):
            yield f"str q{index}, [{self._low}, #{index * VECTOR}]"

    def _chunks(self, count: int, name: str) -> Iterator[str]:
        """A loop over full chunks."""
        done, left, _ = self._numbers
        size = _CHUNK * self.vectors * VECTOR
        yield f"mov {left}, #{count}"
        yield f".LBB{name}${{:uid}}:"
        loads = [
            f"ldr d{self._loaded(pixel)}, [{self._row(pixel)}, {done}]"
            for pixel in range(self.pixels)
        ]
        yield from self._slots(_CHUNK, loads)
        yield f"add {done}, {done}, #{_CHUNK}"
        yield f"subs {left}, {left}, #1"
        yield f"add {self._weights}, {self._weights}, #{size}"
        yield f"b.ne .LBB{name}${{:uid}}"

    def _load_few(self, pixel: int, words: int) -> Iterator[str]:
        """Less than a chunk of a pixel's words; nothing is read behind them."""
        register, row, done = self._loaded(pixel), self._row(pixel), 0
        while done < words:
            size = 1 << ((words - done).bit_length() - 1)
            kind = _LOADS[size]
            place = f"{{v{register}.{kind}}}[{done // size}]"
            yield f"{f'ld1 {place}' if done else f'ldr {kind}{register}'}, [{row}], #{size}"
            done += size

    def _slots(self, words: int, loads: Sequence[str] = ()) -> Iterator[str]:
        """All slots of so many words, which ``loads`` load unless they are there."""
        for slot in range(words * self.pixels):
            yield from self._slot(slot, () if slot else loads)

    def _slot(self, slot: int, loads: Sequence[str]) -> Iterator[str]:
        """The slot's differences, the counts of the last one, the adds of the one before."""
        word, pixel = divmod(slot, self.pixels)
        last = self.vectors - 1
        word_register = self._difference(slot, last)
        adds = [self._add(slot - 2, vector) for vector in (last, *range(last))]
        counts = [self._count(slot - 1, vector) for vector in (last, *range(last))]
        spread = f"dup {word_register}, v{self._loaded(pixel)}.b[{word}]"
        ready = [*adds, counts[0], spread] if loads else [adds[0], spread, *adds[1:], counts[0]]
        weights = [] if pixel else [self._load_weight(word, vector) for vector in range(last + 1)]
        yield from _beside([*ready, *counts[1:]], [*loads, *weights], 1 if loads else 2)
        for vector in range(self.vectors):
            difference = self._difference(slot, vector)
            yield f"eor {difference}, {word_register}, v{self._weight(vector)}.16b"

    def _load_weight(self, word: int, vector: int) -> str:
        place = (word * self.vectors + vector) * VECTOR
        return f"ldr q{self._weight(vector)}, [{self._weights}, #{place}]"

    def _count(self, slot: int, vector: int) -> str:
        register = self._difference(slot, vector)
        return f"cnt {register}, {register}"

    def _add(self, slot: int, vector: int) -> str:
        total = self._sum(slot % self.pixels, vector)
        return f"add {total}, {total}, {self._difference(slot, vector)}"

    def _end(self, slot: int) -> Iterator[str]:
        """What the last two slots have left to do."""
        for vector in range(self.vectors):
            yield self._add(slot - 2, vector)
            yield self._count(slot - 1, vector)
        for vector in range(self.vectors):
            yield self._add(slot - 1, vector)

    def _fold(self) -> Iterator[str]:
        """Upper halves of the sums to those in memory; registers of loaded words are free."""
        size, first = self.pixels * self.vectors, self._loaded(0)
        mask = f"v{first + 3}.16b"

        def high(index: int) -> int:
            return first + index % 3

        yield f"movi {mask}, #15"
        yield f"ldr q{high(0)}, [{self._high}]"
        for index in range(size + 1):
            if index + 1 < size:
                yield f"ldr q{high(index + 1)}, [{self._high}, #{(index + 1) * VECTOR}]"
            if index < size:
                yield f"usra v{high(index)}.16b, v{index}.16b, #4"
                yield f"and v{index}.16b, v{index}.16b, {mask}"
            if index:
                yield f"str q{high(index - 1)}, [{self._high}, #{(index - 1) * VECTOR}]"


def _beside(operations: Sequence[str], loads: Sequence[str], apart: int) -> Iterator[str]:
    """Operations with the loads behind every ``apart``-th of them; the loads left come last."""
    left = list(loads)
    for index, operation in enumerate(operations):
        yield operation
        if left and index % apart == 0:
            yield left.pop(0)
    yield from left
