"""Looking up and adding a pixel's counts on 64-bit ARM, in assembly.

The inner loop of :mod:`.lookup_counts`, in a function of LLVM IR, which TVM imports and LLVM
inlines. Left to itself LLVM needs three instructions for an address and moves all loads to the
front, where they need more registers than there are. Here a look-up is ubfx of its bits, add of
them times an entry's size, and a load for each vector. Addresses are computed two look-ups ahead
and loads come one ahead of what adds them, so that processors which issue in order need not wait
either. Results stay in registers.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from tvm.script.ir_builder import tirx as T

from bitat_deploy.operators.vector_code import keep, load

VECTOR = 16  # bytes

_REGISTERS = 32
_AHEAD = 3  # look-ups whose addresses are known or being computed
_LARGEST_FIELD = 15


def groups(bits: int, inputs: int) -> Iterator[tuple[int, int]]:
    """(first, count) of the inputs that are looked up together, of a word's ``bits``."""
    for first in range(0, bits, inputs):
        yield first, min(inputs, bits - first)


def word_entries(bits: int, inputs: int) -> int:
    """Entries of a word's tables."""
    return sum(1 << count for _, count in groups(bits, inputs))


@dataclass(frozen=True)
class LookupSums:
    """The sums of what a pixel's words look up: bytes' totals, upper and lower halves apart.

    ``bits`` of each word are looked up, ``inputs`` (up to 7) at a time, in tables that follow each
    other. An entry has ``vectors`` vectors, with numbers of 4 bits that are at most ``inputs``.
    """

    bits: tuple[int, ...]
    inputs: int
    vectors: int

    @property
    def _lookups(self) -> list["_Lookup"]:
        lookups, place = [], 0
        for word, bits in enumerate(self.bits):
            for first, count in groups(bits, self.inputs):
                lookups.append(_Lookup(word, first, count, place * self.vectors * VECTOR))
                place += 1 << count
        return lookups

    def emit(self, words: Sequence[Any], table: Any) -> list[Any]:
        """Sums of the lower and the upper halves of each vector: uint8x16.

        ``words`` are uint64, ``table`` is the address of the entries.
        """
        sums = T.alloc_buffer([2 * self.vectors * VECTOR], "uint8")
        name = self._name
        with T.attr(T.int32(0), "pragma_import_llvm", self._function(name, len(words))):
            T.evaluate(T.call_extern("void", name, *words, table, T.address_of(sums[0])))
        return [keep(load(sums, i * VECTOR, VECTOR)) for i in range(2 * self.vectors)]

    @property
    def _name(self) -> str:
        """The function's; it says all that the code depends on."""
        bits = "_".join(map(str, self.bits))
        return f"bitat_deploy_lookups_of_{self.inputs}x{self.vectors}_{bits}"

    def _function(self, name: str, words: int) -> str:
        """LLVM's text. Sums are stored where LLVM sees it, and finds that they need no memory."""
        results, scratch = 2 * self.vectors, _AHEAD
        vector = f"<{VECTOR} x i8>"
        types = ", ".join([vector] * results + ["i64"] * scratch)
        constraints = [f"={{v{i}}}" for i in range(results)] + ["=&r"] * scratch
        constraints += ["r"] * (words + 1)
        constraints += [f"~{{v{i}}}" for i in range(results, _REGISTERS)] + ["~{memory}"]
        first = results + scratch
        names = [f"%w{i}" for i in range(words)]
        parameters = ", ".join([*(f"i64 {one}" for one in names), "ptr %table", "ptr %sums"])
        given = ", ".join([*(f"i64 {one}" for one in names), "ptr %table"])
        text = "\\0A".join(self._lines(first, words))
        stores = "".join(
            f"  %s{i} = extractvalue {{ {types} }} %r, {i}\n"
            f"  %p{i} = getelementptr i8, ptr %sums, i64 {i * VECTOR}\n"
            f"  store {vector} %s{i}, ptr %p{i}, align {VECTOR}\n"
            for i in range(results)
        )
        return (
            f"define void @{name}({parameters}) alwaysinline {{\n"
            f'  %r = call {{ {types} }} asm sideeffect "{text}", "{",".join(constraints)}"'
            f"({given})\n{stores}  ret void\n}}\n"
        )

    def _lines(self, first: int, words: int) -> Iterator[str]:
        """Slot by slot: addresses of later look-ups, loads of this one, sums of the last one."""
        table = f"${first + words}"
        address = [f"${2 * self.vectors + i}" for i in range(_AHEAD)]
        scale = (self.vectors * VECTOR).bit_length() - 1
        sums = _Sums(self.vectors)
        lookups = self._lookups
        count = len(lookups)
        for slot in range(-2, count + 1):
            scalar, vector = [], []
            if slot + 2 < count:
                one, x = lookups[slot + 2], address[(slot + 2) % _AHEAD]
                scalar.append(f"ubfx {x}, ${first + one.word}, #{one.first}, #{one.bits}")
            if 0 <= slot + 1 < count:
                x = address[(slot + 1) % _AHEAD]
                scalar.append(f"add {x}, {table}, {x}, lsl #{scale}")
            if slot > 0:
                vector = list(sums.add(lookups[slot - 1].bits))
            if 0 <= slot < count:
                scalar += sums.load(address[slot % _AHEAD], lookups[slot].place)
            for pair in zip_longest(scalar, vector):
                yield from (line for line in pair if line)
        yield from sums.end()


@dataclass(frozen=True)
class _Lookup:
    """``bits`` bits of word ``word`` from bit ``first`` on; entries begin at byte ``place``."""

    word: int
    first: int
    bits: int
    place: int


class _Sums:
    """Registers: totals, sums of upper halves, and in the others what was loaded and waits."""

    def __init__(self, vectors: int) -> None:
        self._vectors = vectors
        self._free = deque(range(2 * vectors, _REGISTERS))
        self._loaded: deque[list[int]] = deque()
        self._waiting: list[int] = []
        self._first: list[int] = []  # totals, as long as there was one flush
        self._flushes = self._reached = 0

    def load(self, address: str, place: int) -> Iterator[str]:
        """An entry's vectors."""
        registers = [self._free.popleft() for _ in range(self._vectors)]
        self._loaded.append(registers)
        for vector, register in enumerate(registers):
            yield f"ldr q{register}, [{address}, #{place + vector * VECTOR}]"

    def add(self, bits: int) -> Iterator[str]:
        """Add the entry that was loaded first; what could overflow goes to the totals before."""
        registers = self._loaded.popleft()
        if self._reached + bits > _LARGEST_FIELD:
            yield from self._flush()
        self._reached += bits
        if not self._waiting:
            self._waiting = registers
            return
        for total, register in zip(self._waiting, registers, strict=True):
            yield f"add v{total}.16b, v{total}.16b, v{register}.16b"
        self._free += registers

    def _flush(self) -> Iterator[str]:
        size, waiting = self._vectors, self._waiting
        for vector, number in enumerate(waiting):
            shift = "usra" if self._flushes else "ushr"
            yield f"{shift} v{2 * vector + 1}.16b, v{number}.16b, #4"
            if self._flushes:
                before = self._first[vector] if self._first else 2 * vector
                yield f"add v{2 * vector}.16b, v{before}.16b, v{number}.16b"
        if self._flushes:
            self._free += [*self._first, *waiting]
            self._first = []
        else:
            self._first = waiting
        assert len(waiting) == size
        self._waiting, self._reached = [], 0
        self._flushes += 1

    def end(self) -> Iterator[str]:
        """The lower halves' sums: totals less 16 times the upper ones."""
        yield from self._flush()
        for vector in range(self._vectors):
            total = self._first[vector] if self._first else 2 * vector
            spare = self._free[vector]
            yield f"shl v{spare}.16b, v{2 * vector + 1}.16b, #4"
            yield f"sub v{2 * vector}.16b, v{total}.16b, v{spare}.16b"
