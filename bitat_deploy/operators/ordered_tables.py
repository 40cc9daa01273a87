"""Adding what a pixel looks up to its bit planes, on 64-bit ARM, in assembly.

The sums of :mod:`.pointwise_tables`, in a function of LLVM IR, which TVM imports and LLVM inlines.
Left to itself LLVM needs five instructions for a look-up, and moves for what
``bsl`` overwrites:

  look-up: ubfx of three bits, add of them times two vectors, ldp (on the Cortex-A72 two ldr, as ldp
  takes longer there). An offset of ldp reaches the tables of eight groups, so that their address is
  moved three times a word.
  full adder of the words b, c and the plane s: eor c, b, c; bit b, s, c; eor s, s, c. The carry is
  in b then, and c is free.

For a word of 64 inputs 42 full adders, 7 operations for the carries (of 512 inputs), 67
instructions for look-ups and 7 others: 207, where LLVM's code has 261.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T

from bitat_deploy.target import Target

VECTOR = 16  # bytes
MOST_PLANES = 12  # the other registers are enough for the look-ups

_REGISTERS = 32
_ADDERS_PER_LOOKUP = 2  # as many as there are words of them all, about
_LARGEST_STEP = 4096  # that is added at once, a multiple of ldr's offsets
_REACH = 1024  # bytes that an offset of ldp reaches downwards
_LOADS = {1: "ldrb {0:w}", 2: "ldrh {0:w}", 4: "ldr {0:w}", 8: "ldr {0}"}  # by bytes of a word


@dataclass(frozen=True)
class Lookup:
    """``bits`` inputs from bit ``first`` on, whose entries of ``planes`` vectors are at ``place``.

    ``place`` counts the bytes from where the word's tables begin.
    """

    first: int
    bits: int
    planes: int
    place: int


@dataclass(frozen=True)
class WordSums:
    """Adds ``count`` words, each of ``word_bytes`` bytes of a row, to ``planes`` bit planes.

    A word's tables take ``table_bytes``; the next word's follow. Only the top plane is wanted where
    ``top_only``. ``in_pairs`` is whether to load with ``ldp``.
    """

    lookups: tuple[Lookup, ...]
    count: int
    word_bytes: int
    table_bytes: int
    planes: int
    top_only: bool
    in_pairs: bool

    @staticmethod
    def pairs_pay(target: Target) -> bool:
        """Whether a ``ldp`` is no slower than two ``ldr``: not on the Cortex-A72 and older ones."""
        return "+dotprod" in target.features

    @staticmethod
    def is_possible(target: Target, vector_bytes: int, word_bytes: int, planes: int) -> bool:
        """Whether there is such code: a word is loaded at once, and registers are enough."""
        fits = vector_bytes == VECTOR and word_bytes in _LOADS and planes <= MOST_PLANES
        return target.architecture == "aarch64" and fits

    def emit(self, row: Any, table: Any, source: Any, to: Any) -> None:
        """Addresses: the row's words, the tables, the planes before, and where to write them."""
        with T.attr(T.int32(0), "pragma_import_llvm", self._function()):
            T.evaluate(T.call_extern("void", self._name, row, table, source, to))

    @property
    def _name(self) -> str:
        """The function's; it says all that the code depends on."""
        inputs = sum(lookup.bits for lookup in self.lookups)
        kind = f"{'top' if self.top_only else 'all'}{'_pairs' if self.in_pairs else ''}"
        return f"bitat_deploy_lookups_{inputs}x{self.count}_{self.planes}_{kind}"

    def _function(self) -> str:
        """LLVM's text. Pointers are changed, so that each is an output, too; three numbers more."""
        types = ", ".join(["ptr"] * 4 + ["i64"] * 3)
        constraints = ["=&r"] * 7 + ["0", "1", "2", "3"]
        constraints += [f"~{{v{i}}}" for i in range(_REGISTERS)] + ["~{cc}", "~{memory}"]
        text = "\\0A".join(self._lines())
        return (
            f"define void @{self._name}(ptr %x, ptr %table, ptr %source, ptr %to) {{\n"
            f'  %1 = call {{ {types} }} asm sideeffect "{text}", "{",".join(constraints)}"'
            "(ptr %x, ptr %table, ptr %source, ptr %to)\n"
            "  ret void\n}\n"
        )

    def _lines(self) -> Iterator[str]:
        row, table, source, to, left = "$0", "$1", "$2", "$3", "$6"
        for plane in range(self.planes):
            yield f"ldr q{plane}, [{source}, #{plane * VECTOR}]"
        if self.in_pairs:
            yield f"add {table}, {table}, #{_REACH}"
        if self.count > 1:
            yield f"mov {left}, #{self.count}"
            yield ".LBBlookups${:uid}:"
        following = self.table_bytes if self.count > 1 else 0
        load = _LOADS[self.word_bytes].format(_Register("4"))
        yield f"{load}, [{row}], #{self.word_bytes}"
        yield from _Adders(self.planes, self.in_pairs).lines(self.lookups, table, following)
        if self.count > 1:
            yield f"subs {left}, {left}, #1"
            yield "b.ne .LBBlookups${:uid}"
        if self.top_only:
            yield f"str q{self.planes - 1}, [{to}]"
        else:
            for plane in range(self.planes):
                yield f"str q{plane}, [{to}, #{plane * VECTOR}]"


class _Register:
    """An operand of the assembly; ``w`` is its lower half."""

    def __init__(self, number: str) -> None:
        self._number = number

    def __format__(self, kind: str) -> str:
        return f"${{{self._number}:w}}" if kind else f"${self._number}"


class _Adders:
    """Planes in the first registers; words in the others wait for a second one of their weight.

    Full adders that could be emitted wait in turn, so that those that follow each other are mostly
    of different weights and need not wait for each other's plane.
    """

    def __init__(self, planes: int, in_pairs: bool) -> None:
        self._planes, self._in_pairs = planes, in_pairs
        self._free = deque(range(planes, _REGISTERS))
        self._single: list[int | None] = [None] * planes
        self._pairs: deque[tuple[int, int, int]] = deque()  # two words and their level

    def lines(self, lookups: Sequence[Lookup], table: str, size: int) -> Iterator[str]:
        """Look all words up and add them; the table's address goes on by ``size``, if not 0."""
        moved, step = 0, 2 * _REACH if self._in_pairs else _LARGEST_STEP
        for lookup in lookups:
            while lookup.place - moved >= step:
                yield f"add {table}, {table}, #{step}"
                moved += step
            registers = [self._free.popleft() for _ in range(lookup.planes)]
            offset = lookup.place - moved - (_REACH if self._in_pairs else 0)
            yield from self._load(lookup, registers, table, offset)
            yield from self._emit_adders(_ADDERS_PER_LOOKUP)
            for level, register in enumerate(registers):
                self._push(register, level)
        if size > moved:
            yield f"add {table}, {table}, #{size - moved}"
        yield from self._emit_adders(len(lookups) * self._planes)
        for level in range(self._planes):
            yield from self._emit_half_adder(level)
            yield from self._emit_adders(self._planes)

    def _load(self, lookup: Lookup, registers: list[int], table: str, offset: int) -> Iterator[str]:
        """What a lookup finds, to its one or two registers."""
        word, index = "$4", "$5"
        yield f"ubfx {index}, {word}, #{lookup.first}, #{lookup.bits}"
        yield f"add {index}, {table}, {index}, lsl #{3 + lookup.planes}"
        if self._in_pairs and lookup.planes == 2:
            yield f"ldp q{registers[0]}, q{registers[1]}, [{index}, #{offset}]"
            return
        if offset < 0:
            yield f"sub {index}, {index}, #{_REACH}"
            offset += _REACH
        for plane, register in enumerate(registers):
            yield f"ldr q{register}, [{index}, #{offset + plane * VECTOR}]"

    def _push(self, word: int, level: int) -> None:
        if level >= self._planes:
            self._free.append(word)  # sums have no such bit
            return
        other = self._single[level]
        if other is None:
            self._single[level] = word
        else:
            self._single[level] = None
            self._pairs.append((other, word, level))

    def _emit_adders(self, most: int) -> Iterator[str]:
        """The full adders whose turn it is."""
        for _ in range(most):
            if not self._pairs:
                return
            b, c, level = self._pairs.popleft()
            yield f"eor v{c}.16b, v{b}.16b, v{c}.16b"
            if level + 1 < self._planes:
                yield f"bit v{b}.16b, v{level}.16b, v{c}.16b"
            yield f"eor v{level}.16b, v{level}.16b, v{c}.16b"
            self._free.append(c)
            self._push(b, level + 1)

    def _emit_half_adder(self, level: int) -> Iterator[str]:
        """Add the word that no other one of its weight came for, if there is one."""
        word, self._single[level] = self._single[level], None
        if word is None:
            return
        if level + 1 < self._planes:
            carry = self._free.popleft()
            yield f"and v{carry}.16b, v{level}.16b, v{word}.16b"
            self._push(carry, level + 1)
        yield f"eor v{level}.16b, v{level}.16b, v{word}.16b"
        self._free.append(word)
