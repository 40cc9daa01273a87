"""Carry-save addition of bit vectors: what the bit-sliced operators count with.

A full adder turns three words of weight 2^l into one of weight 2^l (their xor) and one of weight
2^(l+1) (their majority), in every bit position at once. Reducing n words so leaves about one word
per power of two: n - log2(n) full adders instead of n population counts (Harley and Seal's
method: H. S. Warren, Hacker's Delight, 2nd edition, section 5-1), or, where every bit position is
a channel, the count of each channel in bit-sliced form.
"""

from collections.abc import Callable, Iterable
from typing import Any

import tvm
from tvm.script.ir_builder import tirx as T

from bitat_deploy.operators.vector_code import keep
from bitat_deploy.target import Target

FullAdder = Callable[[Any, Any, Any], tuple[Any, Any]]

_XOR3, _MAJORITY = 0x96, 0xE8  # truth tables of three inputs


def full_adder(target: Target) -> FullAdder:
    """The full adder that is cheapest on the target.

    AVX-512: two ``vpternlog``, named explicitly because LLVM finds them only where the operands
    have a single use (three instructions otherwise). Elsewhere: xor, xor and a select by the
    first xor, which is one ``bsl`` or ``bit`` on NEON: three instructions.
    """
    return _ternary_logic_adder if target.vector_bytes == 64 else _select_adder


def add_words(words: Iterable[Any], adder: FullAdder) -> list[list[Any]]:
    """Add words of weight 1 until at most two of each weight are left; entry l holds those of 2^l.

    A level is reduced as soon as it has three words, so that few are alive at any time.
    """
    return add_weighted_words(((word, 0) for word in words), adder)


def add_weighted_words(words: Iterable[tuple[Any, int]], adder: FullAdder) -> list[list[Any]]:
    """The same of pairs (word, l), where the word's weight is 2^l."""
    levels: list[list[Any]] = [[]]

    def push(word: Any, level: int) -> None:
        while level >= len(levels):
            levels.append([])
        levels[level].append(word)
        if len(levels[level]) == 3:
            total, carry = adder(*levels[level])
            levels[level] = [total]
            push(carry, level + 1)

    for word, level in words:
        push(word, level)
    return levels


def add_words_completely(words: Iterable[Any], adder: FullAdder) -> list[Any]:
    """Add words of weight 1 to exactly one of each weight: the bit-sliced sum, lowest first."""
    return add_levels(add_words(words, adder), adder)


def add_levels(levels: list[list[Any]], adder: FullAdder) -> list[Any]:
    """Add what is left of each weight, at least one word, to exactly one of each."""
    levels = list(levels)
    planes = []
    for level, pending in enumerate(levels):
        while len(pending) > 1:
            if len(pending) == 2:
                a, b = pending
                total, carry = keep(a ^ b), keep(a & b)
            else:
                total, carry = adder(*pending[:3])
            pending = [*pending[3:], total]
            if level + 1 == len(levels):
                levels.append([])
            levels[level + 1].append(carry)
        planes.append(pending[0])
    return planes


def _select_adder(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    # LLVM makes ((a ^ c) & differ) ^ a a select; (differ & c) | (~differ & a) it takes apart.
    differ = keep(a ^ b)
    return keep(differ ^ c), keep(((a ^ c) & differ) ^ a)


def _ternary_logic_adder(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    bits = tvm.DataType(a.ty.dtype).bits * tvm.DataType(a.ty.dtype).lanes
    if bits not in (128, 256, 512):
        return _select_adder(a, b, c)
    return _ternary_logic(a, b, c, _XOR3, bits), _ternary_logic(a, b, c, _MAJORITY, bits)


def _ternary_logic(a: Any, b: Any, c: Any, table: int, bits: int) -> Any:
    dtype = f"int32x{bits // 32}"
    words = [T.reinterpret(dtype, word) for word in (a, b, c)]
    name = f"llvm.x86.avx512.pternlog.d.{bits}"
    result = T.call_llvm_pure_intrin(dtype, name, *words, T.int32(table))
    return keep(T.reinterpret(a.ty.dtype, result))
