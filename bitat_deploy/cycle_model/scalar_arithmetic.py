"""What scalar AArch64 instructions compute, with values that may be unknown."""

from collections.abc import Callable
from typing import Any


class UnknownFlowError(Exception):
    """A branch depends on what the interpreter does not know."""


class _Unknown:
    """An unknown value; whatever is computed from it is unknown, too."""

    def _same(self, *_: Any) -> "_Unknown":
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _same
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _same
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = __invert__ = _same
    __lt__ = __le__ = __gt__ = __ge__ = _same
    __eq__ = __ne__ = _same  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise UnknownFlowError("a branch depends on data")


UNKNOWN = _Unknown()

CONDITIONS: dict[str, Callable[[int, int, int], bool]] = {
    "eq": lambda a, b, bits: a == b,
    "ne": lambda a, b, bits: a != b,
    "hs": lambda a, b, bits: a >= b,
    "lo": lambda a, b, bits: a < b,
    "hi": lambda a, b, bits: a > b,
    "ls": lambda a, b, bits: a <= b,
    "ge": lambda a, b, bits: signed(a, bits) >= signed(b, bits),
    "lt": lambda a, b, bits: signed(a, bits) < signed(b, bits),
    "gt": lambda a, b, bits: signed(a, bits) > signed(b, bits),
    "le": lambda a, b, bits: signed(a, bits) <= signed(b, bits),
    "mi": lambda a, b, bits: signed(a - b, bits) < 0,
    "pl": lambda a, b, bits: signed(a - b, bits) >= 0,
}
CONDITIONS |= {"cs": CONDITIONS["hs"], "cc": CONDITIONS["lo"]}
# Two numbers whose comparison sets the flags that ``ccmp`` names (N 8, Z 4, C 2).
FLAGS = {0: (1, -1), 2: (1, 0), 4: (0, 0), 6: (0, 0), 8: (0, 1)}

COMPUTATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda bits, a, b: a + b,
    "sub": lambda bits, a, b: a - b,
    "mul": lambda bits, a, b: a * b,
    "and": lambda bits, a, b: a & b,
    "orr": lambda bits, a, b: a | b,
    "eor": lambda bits, a, b: a ^ b,
    "bic": lambda bits, a, b: a & ~b,
    "lsl": lambda bits, a, b: a << b,
    "lsr": lambda bits, a, b: a >> b,
    "asr": lambda bits, a, b: a if a is UNKNOWN else signed(a, bits) >> b,
    "neg": lambda bits, a: 0 - a,
    "mvn": lambda bits, a: ~a,
    "madd": lambda bits, a, b, c: a * b + c,
    "msub": lambda bits, a, b, c: c - a * b,
    "umaddl": lambda bits, a, b, c: a * b + c,
    "umull": lambda bits, a, b: a * b,
    "umulh": lambda bits, a, b: (a * b) >> 64,
    "ubfx": lambda bits, a, low, width: (a >> low) & ((1 << width) - 1),
    "ubfiz": lambda bits, a, low, width: (a & ((1 << width) - 1)) << low,
    "bfi": lambda bits, *_: UNKNOWN,
    "udiv": lambda bits, a, b: UNKNOWN if a is UNKNOWN or b is UNKNOWN else a // b,
    "uxtb": lambda bits, a: a & 0xFF,
    "uxth": lambda bits, a: a & 0xFFFF,
    "sxtw": lambda bits, a: a if a is UNKNOWN else signed(a, 32),
}
THREE_OPERANDS = ("madd", "msub", "umaddl", "ubfx", "ubfiz")


def signed(value: int, bits: int) -> Any:
    """The lowest ``bits`` of a value as a two's complement number."""
    if value is UNKNOWN:
        return value
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
