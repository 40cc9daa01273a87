"""How often each block of a kernel runs: its scalar instructions, interpreted.

The control flow of our kernels depends on no data, only on constants and addresses. So the general
registers are interpreted, with everything that comes from memory or from a vector unknown, and the
blocks are counted exactly. A branch on an unknown value is an error.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bitat_deploy.cycle_model.assembly import (
    GENERAL_REGISTER,
    Block,
    constant,
    is_branch,
    is_general,
    operands_of,
    register_number,
    register_width,
)
from bitat_deploy.cycle_model.scalar_arithmetic import (
    COMPUTATIONS,
    CONDITIONS,
    FLAGS,
    THREE_OPERANDS,
    UNKNOWN,
    UnknownFlowError,
    signed,
)

_MASK = {"x": (1 << 64) - 1, "w": (1 << 32) - 1}
_SPACING = 1 << 40  # between what different pointers point to


@dataclass(frozen=True)
class Call:
    """A call of a function outside of the kernel; ``size`` bytes for memset and memcpy."""

    function: str
    size: int | None


def count_runs(blocks: list[Block], arguments: int) -> list[Call]:
    """Run the scalar part with ``arguments`` pointers; sets every block's ``runs``.

    Returns the calls made. Raises UnknownFlowError.
    """
    machine = _Machine(arguments)
    index = {block.label: number for number, block in enumerate(blocks)}
    relevant = _relevant_registers([text for block in blocks for text in block.instructions])
    steps = []
    for block in blocks:
        needed = [text for text in block.instructions if _is_needed(text, relevant)]
        steps.append(machine.compile(needed, index))
    current: int | None = 0
    while current is not None and current < len(blocks):
        blocks[current].runs += 1
        current = steps[current](current + 1)
    return machine.calls


def _relevant_registers(instructions: list[str]) -> set[str]:
    """Registers that a branch may depend on, whatever the order of the instructions."""
    relevant = {"sp", "0", "2"}  # the last two are read by calls
    size = 0
    while size != len(relevant):
        size = len(relevant)
        for text in instructions:
            if _is_needed(text, relevant):
                relevant |= {
                    register_number(register) for register in GENERAL_REGISTER.findall(text)
                } - {"zr"}
    return relevant


def _is_needed(text: str, relevant: set[str]) -> bool:
    """Whether an instruction decides flow itself, or writes one of the ``relevant`` registers."""
    name, _, rest = text.partition(" ")
    if is_branch(text) or name in ("bl", "cmp", "cmn", "tst", "ccmp", "subs", "adds", "ands"):
        return True
    operands = operands_of(rest)
    if name[:2] == "st" and is_general(operands[0]):
        return True  # it may be loaded again
    written = operands[: 2 if name == "ldp" else 1]
    if "]!" in rest or re.search(r"\], ", rest):  # the base register changes
        written = [*written, *GENERAL_REGISTER.findall(rest[rest.index("[") :])[:1]]
    return any(
        is_general(register) and register_number(register) in relevant for register in written
    )


class _Machine:
    """Registers and the part of memory that general registers were stored to."""

    def __init__(self, arguments: int) -> None:
        self.registers: dict[str, Any] = {f"{number}": UNKNOWN for number in range(31)}
        self.registers |= {str(i): (i + 1) * _SPACING for i in range(arguments)}
        self.registers |= {"sp": 63 * _SPACING, "zr": 0}
        self.memory: dict[int, Any] = {}
        self.flags: tuple[Any, Any, int] = (UNKNOWN, UNKNOWN, 64)
        self.calls: list[Call] = []

    def compile(
        self, instructions: Iterable[str], index: dict[str, int]
    ) -> Callable[[int], int | None]:
        """A function that runs a block; takes the block after it, gives back the next one."""
        steps = [step for text in instructions if (step := self._step(text, index))]
        last = steps.pop() if steps and getattr(steps[-1], "branches", False) else None

        def run(following: int) -> int | None:
            for step in steps:
                step()
            if last is None:
                return following
            target = last()
            return following if target == "next" else target

        return run

    def _step(self, text: str, index: dict[str, int]) -> Any:
        name, _, rest = text.partition(" ")
        operands = operands_of(rest)
        if is_branch(text):
            step = self._branch(name, operands, index)
            step.branches = True
            return step
        if name == "bl":
            return lambda: self._call(operands[0])
        if name[:3] in ("str", "stp", "stu"):
            return self._store(name, operands)
        if name[:2] == "ld":
            return self._load(name, operands)
        if name in ("cmp", "cmn", "tst", "ccmp"):
            return self._compare(name, operands)
        if not operands or not is_general(operands[0]):
            return None  # vectors
        return self._arithmetic(name, operands)

    # What an operand is worth; the second operand of an instruction may be shifted.

    def _value(self, operands: list[str]) -> Callable[[], Any]:
        text = operands[0]
        if not is_general(text):
            number = constant(text)
            if number is None:
                return lambda: UNKNOWN
            shift = int(operands[1].split("#")[1]) if len(operands) > 1 else 0
            return lambda: number << shift
        read = self._read(text)
        if len(operands) == 1:
            return read
        kind, _, amount_text = operands[1].partition(" ")
        amount = int(amount_text.lstrip("#") or "0", 0)
        bits = 64 if text[0] == "x" else 32
        if kind in ("lsl", "uxtw", "uxtx"):
            return lambda: read() << amount
        if kind == "lsr":
            return lambda: read() >> amount
        if kind in ("asr", "sxtw"):
            if kind == "sxtw":
                return lambda: signed(read(), 32) << amount
            return lambda: signed(read(), bits) >> amount
        return lambda: UNKNOWN

    def _read(self, register: str) -> Callable[[], Any]:
        registers, key, mask = (
            self.registers,
            register_number(register),
            _MASK[register_width(register)],
        )
        return lambda: registers[key] & mask

    def _write(self, register: str, value: Any) -> None:
        if not register.endswith("zr"):
            self.registers[register_number(register)] = value & _MASK[register_width(register)]

    def _arithmetic(self, name: str, operands: list[str]) -> Any:
        target, sources = operands[0], operands[1:]
        bits = 64 if register_width(target) == "x" else 32
        if name in ("mov", "movz", "movn"):
            value = self._value(sources)
            flip = -1 if name == "movn" else 0
            return lambda: self._write(target, value() ^ flip)
        if name == "movk":
            number, shift = constant(sources[0]) or 0, 0
            if len(sources) > 1:
                shift = int(sources[1].split("#")[1])
            old = self._read(target)
            return lambda: self._write(target, (old() & ~(0xFFFF << shift)) | (number << shift))
        if name in ("csel", "csinc", "csinv", "csneg", "cset", "csetm", "cinc"):
            return self._select(name, target, sources)
        if name in ("subs", "adds", "ands"):
            first, second = self._value(sources[:1]), self._value(sources[1:])

            def flagged() -> None:
                a, b = first(), second()
                value = {"subs": lambda: a - b, "adds": lambda: a + b, "ands": lambda: a & b}
                result = value[name]()
                self.flags = (a, b, bits) if name == "subs" else (result & (2**bits - 1), 0, bits)
                self._write(target, result)

            return flagged
        compute = COMPUTATIONS.get(name)
        if compute is None or (name in THREE_OPERANDS and len(sources) < 3):
            return lambda: self._write(target, UNKNOWN)
        if name in THREE_OPERANDS:
            values = [self._value([source]) for source in sources]
        else:
            values = [
                self._value(sources[:1]),
                *([self._value(sources[1:])] if sources[1:] else []),
            ]
        return lambda: self._write(target, compute(bits, *[value() for value in values]))

    def _select(self, name: str, target: str, sources: list[str]) -> Any:
        condition = self._condition(sources[-1])
        if name in ("cset", "csetm"):
            one = 1 if name == "cset" else -1
            return lambda: self._write(target, one if condition() else 0)
        first = self._value(sources[:1])
        second = self._value(sources[:1] if name == "cinc" else sources[1:2])
        other: Callable[[Any], Any] = {
            "csel": lambda b: b,
            "csinc": lambda b: b + 1,
            "csinv": lambda b: ~b,
            "csneg": lambda b: -b,
            "cinc": lambda b: b,
        }[name]
        step = 1 if name == "cinc" else 0

        def select() -> None:
            try:
                chosen = first() + step if condition() else other(second())
            except UnknownFlowError:
                chosen = UNKNOWN
            self._write(target, chosen)

        return select

    def _condition(self, name: str) -> Callable[[], Any]:
        test = CONDITIONS.get(name)

        def holds() -> Any:
            if test is None or self.flags[0] is UNKNOWN or self.flags[1] is UNKNOWN:
                raise UnknownFlowError("a condition depends on data")
            return test(*self.flags)

        return holds

    def _compare(self, name: str, operands: list[str]) -> Any:
        bits = 64 if register_width(operands[0]) == "x" else 32
        mask = (1 << bits) - 1
        first = self._value(operands[:1])
        if name == "ccmp":
            second = self._value(operands[1:2])
            otherwise = FLAGS.get(int(operands[2].lstrip("#"), 0), (UNKNOWN, UNKNOWN))
            condition = self._condition(operands[3])

            def conditional() -> None:
                pair = (first(), second()) if condition() else otherwise
                self.flags = (pair[0] & mask, pair[1] & mask, bits)

            return conditional
        second = self._value(operands[1:])

        def compare() -> None:
            a, b = first(), second()
            if name == "cmp":
                self.flags = (a & mask, b & mask, bits)
            else:
                self.flags = ((a + b if name == "cmn" else a & b) & mask, 0, bits)

        return compare

    def _branch(self, name: str, operands: list[str], index: dict[str, int]) -> Any:
        if name == "ret":
            return lambda: None
        target = index.get(operands[-1])
        if name == "b":
            return lambda: target
        if name.startswith("b."):
            condition = self._condition(name[2:])
            return lambda: target if condition() else "next"
        value = self._read(operands[0])
        if name in ("tbz", "tbnz"):
            bit, wanted = int(operands[1].lstrip("#"), 0), int(name == "tbnz")
            return lambda: target if ((value() >> bit) & 1) == wanted else "next"
        zero = name == "cbz"
        return lambda: target if (value() == 0) == zero else "next"

    def _call(self, function: str) -> None:
        size = self.registers["2"]
        known = function in ("memset", "memcpy", "memmove") and size is not UNKNOWN
        self.calls.append(Call(function, size if known else None))
        result = self.registers["0"] if known else (100 + len(self.calls)) * _SPACING
        if not known and "Workspace" in function and "Free" in function:
            result = 0
        self.registers |= {str(number): UNKNOWN for number in range(18)}
        self.registers["0"] = result

    # Memory: only what general registers were stored to is known.

    def _address(self, operands: list[str]) -> tuple[Callable[[], Any], Callable[[], None]]:
        """The address, and what is to be done to the base register after the access."""
        text = ", ".join(operands)
        inside = text[text.index("[") + 1 : text.index("]")].split(", ")
        base, rest = inside[0], inside[1:]
        after = text[text.index("]") + 1 :]
        read = self._read(base)
        offset = self._value(rest) if rest else (lambda: 0)
        if after.startswith("!"):
            return lambda: read() + offset(), lambda: self._write(base, read() + offset())
        if after.startswith(", "):
            step = self._value([after[2:]])
            return read, lambda: self._write(base, read() + step())
        return lambda: read() + offset(), lambda: None

    def _store(self, name: str, operands: list[str]) -> Any:
        place = next(i for i, operand in enumerate(operands) if operand.startswith("["))
        address, update = self._address(operands[place:])
        values = [self._read(x) if is_general(x) else None for x in operands[:place]]
        width = 8 if register_width(operands[0]) == "x" else 4

        def store() -> None:
            where = address()
            if where is not UNKNOWN:
                for i, value in enumerate(values):
                    if value is not None:
                        self.memory[where + i * width] = value()
            update()

        return store

    def _load(self, name: str, operands: list[str]) -> Any:
        place = next(i for i, operand in enumerate(operands) if operand.startswith("["))
        address, update = self._address(operands[place:])
        targets = operands[:place]
        general = [target for target in targets if is_general(target)]
        whole = name in ("ldr", "ldp", "ldur")

        def load() -> None:
            where = address()
            for i, target in enumerate(general):
                known = whole and where is not UNKNOWN
                width = 8 if register_width(target) == "x" else 4
                self._write(
                    target, self.memory.get(where + i * width, UNKNOWN) if known else UNKNOWN
                )
            update()

        return load
