"""Products of int8 on 64-bit ARM, with the instructions ordered by hand.

A processor that issues in order waits for each operand. LLVM moves loads to the front and spills
sums where that needs more registers than there are. So the inner loop of the 8-bit convolution
(:mod:`.quantized_conv`) exists as assembly, too: in a function of LLVM IR, which TVM imports and
LLVM inlines. It adds up one run of a tile of ``pixels`` x ``registers`` of four sums, in registers.

With dot products. A *block* is 16 values of each pixel, which one load brings; ``sdot`` takes four
of them from a lane. A *wave* is the products of a step and a register of weights with all pixels.
Weights are loaded up to three waves ahead, a pixel's next values behind their last use.

Without. A block is a chain of steps of two values, each value pair loaded to all lanes (``ld1r``).
A wave is the ``smull`` of one or more registers with all pixels, then the ``smlal`` of each further
step, then the ``sadalp``: at least four instructions lie between each and what it needs. Weights
are loaded a wave ahead.

Both read a little behind the end of a run, values and weights: ``VALUE_SLACK`` and
``WEIGHT_SLACK`` elements have to be there.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T

VALUE_SLACK, WEIGHT_SLACK = 32, 64
VECTOR = 16  # bytes

_REGISTERS = 32
_LANES = 4  # sums of a register
_LANE_VALUES = 4  # that sdot takes
_WAVE = 4  # instructions between one and what needs it
LONGEST_CHAIN = 3  # in registers; LLVM's code adds more products of codes at once


@dataclass(frozen=True)
class OrderedProducts:
    """The sums of ``steps`` steps for ``pixels`` x ``registers``.

    A step takes ``values`` values: 4 by dot products, or 2, of which ``chain`` steps are added in
    int16. Weights of eight sums follow each other, [step][lane][value].
    """

    pixels: int
    registers: int
    steps: int
    values: int
    chain: int

    @property
    def fits(self) -> bool:
        """Whether there are enough registers, also for chains, and an even number of waves."""
        code = self._code
        even = self.registers % 2 == 0 and code.waves % 2 == 0
        chained = self.values == _LANE_VALUES or code.block_steps >= min(self.chain, 2)
        return even and chained and code.needs <= _REGISTERS

    def emit(self, rows: Sequence[Any], weights: Sequence[Any], sums: Any, more: bool) -> None:
        """Compute the sums to the buffer ``sums`` of int32, or with ``more`` add to what is there.

        ``rows`` are the addresses of the pixels' values, ``weights`` those of every eight sums.
        """
        name = f"{self._code.name}{'_more' if more else ''}"
        with T.attr(T.int32(0), "pragma_import_llvm", self._function(name, more)):
            T.evaluate(T.call_extern("void", name, *rows, *weights, T.address_of(sums[0])))

    @property
    def _code(self) -> "_Code":
        kind = _Dots if self.values == _LANE_VALUES else _Chains
        return kind(self)

    @property
    def pointers(self) -> int:
        """Of rows and weights."""
        return self.pixels + self.registers // 2

    def _function(self, name: str, more: bool) -> str:
        """LLVM's text. Sums are stored where LLVM sees it, and finds that they need no memory."""
        results = self.pixels * self.registers
        pointers = [f"ptr %p{i}" for i in range(self.pointers)]
        vector = f"<{_LANES} x i32>"
        types = ", ".join([vector] * results + ["ptr"] * self.pointers + ["i64"] * 2)
        constraints = [f"={{v{i}}}" for i in range(results)] + ["=&r"] * (self.pointers + 2)
        given = list(pointers)
        before = ""
        if more:
            constraints += [str(i) for i in range(results)]
            given = [f"{vector} %b{i}" for i in range(results)] + given
            before = "".join(
                f"  %a{i} = getelementptr i8, ptr %sums, i64 {i * VECTOR}\n"
                f"  %b{i} = load {vector}, ptr %a{i}, align {VECTOR}\n"
                for i in range(results)
            )
        constraints += [str(results + i) for i in range(self.pointers)]
        constraints += [f"~{{v{i}}}" for i in range(results, _REGISTERS)]
        constraints += ["~{cc}", "~{memory}"]
        lines = [] if more else [f"movi v{i}.2d, #0" for i in range(results)]
        lines += self._code.lines()
        text = "\\0A".join(lines)
        stores = "".join(
            f"  %s{i} = extractvalue {{ {types} }} %r, {i}\n"
            f"  %c{i} = getelementptr i8, ptr %sums, i64 {i * VECTOR}\n"
            f"  store {vector} %s{i}, ptr %c{i}, align {VECTOR}\n"
            for i in range(results)
        )
        return (
            f"define void @{name}({', '.join([*pointers, 'ptr %sums'])}) alwaysinline {{\n{before}"
            f'  %r = call {{ {types} }} asm sideeffect "{text}", "{",".join(constraints)}"'
            f"({', '.join(given)})\n{stores}  ret void\n}}\n"
        )


@dataclass(frozen=True)
class _Code(ABC):
    """What both kinds of code have in common: operands, and the loop over blocks."""

    of: OrderedProducts

    @property
    def name(self) -> str:
        """The function's; it says all that the code depends on."""
        of = self.of
        size = f"{of.pixels}x{of.registers}_{of.steps}_{self.block_steps}"
        return f"bitat_deploy_products_of_{of.values}_{size}"

    @property
    @abstractmethod
    def block_steps(self) -> int:
        """Steps of a block."""

    @property
    @abstractmethod
    def waves(self) -> int:
        """Of a step or block; odd where registers do not divide."""

    @property
    @abstractmethod
    def needs(self) -> int:
        """Registers."""

    @abstractmethod
    def start(self) -> Iterator[str]:
        """Load what the first wave takes."""

    @abstractmethod
    def block(self, steps: int, more: bool) -> Iterator[str]:
        """The products of a block, ``more`` loads what the next one begins with."""

    def lines(self) -> Iterator[str]:
        """All instructions, without the zeros that sums begin with."""
        blocks, rest = divmod(self.of.steps, self.block_steps)
        yield from self.start()
        if blocks > 1:
            yield f"mov {self._left}, #{blocks}"
            yield ".LBBproducts${:uid}:"
            yield f"subs {self._left}, {self._left}, #1"
        if blocks:
            yield from self.block(self.block_steps, more=True)
        if blocks > 1:
            yield "b.ne .LBBproducts${:uid}"
        if rest:
            yield from self.block(rest, more=False)

    def sum(self, pixel: int, register: int) -> str:
        """A register of sums."""
        return f"v{pixel * self.of.registers + register}.4s"

    def row(self, pixel: int) -> str:
        """The address of a pixel's next values."""
        return f"${self._results + pixel}"

    def weights(self, register: int) -> str:
        """The address of the block's weights."""
        return f"${self._results + self.of.pixels + register // 2}"

    @property
    def spare(self) -> int:
        """The first register behind the sums."""
        return self._results

    @property
    def done(self) -> str:
        """Bytes of the rows that are done, where rows are not stepped."""
        return f"${self._results + self.of.pointers + 1}"

    @property
    def _results(self) -> int:
        return self.of.pixels * self.of.registers

    @property
    def _left(self) -> str:
        return f"${self._results + self.of.pointers}"


class _Dots(_Code):
    """By dot products."""

    @property
    def block_steps(self) -> int:
        """Steps of 16 values."""
        return VECTOR // _LANE_VALUES

    @property
    def waves(self) -> int:
        """Of a step."""
        return self.of.registers

    @property
    def _buffers(self) -> int:
        """Registers for weights, of which one is in use."""
        free = _REGISTERS - self.spare - self.of.pixels
        return 4 if free >= 4 else 2

    @property
    def needs(self) -> int:
        """Registers."""
        return self.spare + self.of.pixels + self._buffers

    def start(self) -> Iterator[str]:
        """Values, and the weights of the first waves."""
        yield f"mov {self.done}, #0"
        for pixel in range(self.of.pixels):
            yield self._load_values(pixel)
        for wave in range(self._buffers - 1):
            yield self._load_weights(wave)

    def block(self, steps: int, more: bool) -> Iterator[str]:
        """Wave by wave: the load of a later one's weights, and the products."""
        pixels, registers = self.of.pixels, self.of.registers
        last = steps * registers - 1
        if more:
            yield f"add {self.done}, {self.done}, #{VECTOR}"
        for wave in range(last + 1):
            step, register = divmod(wave, registers)
            ahead = wave + self._buffers - 1
            for pixel in range(pixels):
                weight = self._weight(wave)
                yield (
                    f"sdot {self.sum(pixel, register)}, v{weight}.16b, "
                    f"v{self._value(pixel)}.4b[{step}]"
                )
                if pixel == 0 and (more or ahead <= last):
                    yield self._load_weights(ahead)
                if wave == last and more:
                    yield self._load_values(pixel)
        if more:
            for register in range(0, registers, 2):
                pointer = self.weights(register)
                yield f"add {pointer}, {pointer}, #{steps * 2 * VECTOR}"

    def _value(self, pixel: int) -> int:
        return self.spare + pixel

    def _weight(self, wave: int) -> int:
        return self.spare + self.of.pixels + wave % self._buffers

    def _load_values(self, pixel: int) -> str:
        return f"ldr q{self._value(pixel)}, [{self.row(pixel)}, {self.done}]"

    def _load_weights(self, wave: int) -> str:
        step, register = divmod(wave, self.of.registers)
        place = (step * 2 + register % 2) * VECTOR
        return f"ldr q{self._weight(wave)}, [{self.weights(register)}, #{place}]"


class _Chains(_Code):
    """By products of eight bytes, added in int16."""

    @property
    def block_steps(self) -> int:
        """Steps of a chain, as many as there are registers for."""
        chains = range(min(self.of.chain, LONGEST_CHAIN), 1, -1)
        return next((chain for chain in chains if self._needs(chain) <= _REGISTERS), 1)

    @property
    def _together(self) -> int:
        """Registers of sums in a wave."""
        return -(-_WAVE // self.of.pixels) if self.of.pixels < 3 else 1

    @property
    def waves(self) -> int:
        """Of a block; odd where registers do not divide."""
        full, rest = divmod(self.of.registers, self._together)
        return 1 if rest else full

    @property
    def needs(self) -> int:
        """Registers."""
        return self._needs(self.block_steps)

    def _needs(self, chain: int) -> int:
        """Registers: sums, values, weights of two waves, products."""
        wave = self.of.pixels * self._together
        return self.spare + (self.of.pixels + 2 * self._together) * chain + wave

    def start(self) -> Iterator[str]:
        """Values of a block, and the weights of the first wave."""
        for step in range(min(self.block_steps, self.of.steps)):
            for pixel in range(self.of.pixels):
                yield self._load_values(pixel, step)
        yield from self._load_weights(0, min(self.block_steps, self.of.steps))

    def block(self, steps: int, more: bool) -> Iterator[str]:
        """Wave by wave: the next one's weights are loaded between the products."""
        for wave in range(self.waves):
            last = wave == self.waves - 1
            loads = [] if last and not more else self._load_weights(wave + 1, steps)
            waiting = iter(list(loads))
            places = [
                (wave * self._together + one, pixel)
                for one in range(self._together)
                for pixel in range(self.of.pixels)
            ]
            for step in range(steps):
                for register, pixel in places:
                    name = "smlal" if step else "smull"
                    product = self._product(register % self._together, pixel)
                    weight = self._weight(wave, register % self._together, step)
                    value = self._value(pixel, step)
                    yield f"{name} v{product}.8h, v{weight}.8b, v{value}.8b"
                    if last and register == places[-1][0]:
                        if more:
                            yield self._load_values(pixel, step)
                    elif not last:
                        yield from _next(waiting)
            for register, pixel in places:
                product = self._product(register % self._together, pixel)
                yield f"sadalp {self.sum(pixel, register)}, v{product}.8h"
                yield from _next(waiting)
            yield from waiting
        if more:
            for register in range(0, self.of.registers, 2):
                pointer = self.weights(register)
                yield f"add {pointer}, {pointer}, #{steps * VECTOR}"

    def _value(self, pixel: int, step: int) -> int:
        return self.spare + pixel * self.block_steps + step

    def _weight(self, wave: int, one: int, step: int) -> int:
        first = self.spare + self.of.pixels * self.block_steps
        return first + (wave % 2 * self._together + one) * self.block_steps + step

    def _product(self, one: int, pixel: int) -> int:
        first = self.spare + (self.of.pixels + 2 * self._together) * self.block_steps
        return first + one * self.of.pixels + pixel

    def _load_values(self, pixel: int, step: int) -> str:
        return f"ld1r {{v{self._value(pixel, step)}.4h}}, [{self.row(pixel)}], #{self.of.values}"

    def _load_weights(self, wave: int, steps: int) -> Iterator[str]:
        block, wave_of_block = divmod(wave, self.waves)
        for step in range(steps):
            for one in range(self._together):
                register = wave_of_block * self._together + one
                place = (block * steps + step) * VECTOR + register % 2 * (VECTOR // 2)
                weight = self._weight(wave, one, step)
                yield f"ldr d{weight}, [{self.weights(register)}, #{place}]"


def _next(lines: Iterator[str]) -> list[str]:
    line = next(lines, None)
    return [] if line is None else [line]
