"""Counting the bits of weighted words: sum over words of 2^level * popcount(word), lane by lane.

Words of several planes of weights and activations differ in their weight, 2^(i + j). Two ways:

  Lanes of 8 bits (NEON, which counts the bits of bytes in one instruction): each level has an
  accumulator of bytes, which is widened, shifted and added to the total before it overflows.
  Lanes of 32 bits (x86): words go through carry-save adders, each entering at its level, so that
  one tree serves all planes and about two words a level are left to count.
"""

from collections.abc import Iterable
from typing import Any

from tvm.script.ir_builder import tirx as T

from bitat_deploy.operators.carry_save import add_weighted_words, full_adder
from bitat_deploy.operators.vector_code import dot_product, has_dot_product, keep, splat
from bitat_deploy.target import Target

MAXIMUM_OF_BYTE = 255
_LEVELS_IN_BYTE = 4  # 2 words of 8 bits at each of 4 levels: 16 + 32 + 64 + 128 = 240


def count_in_lanes32(words: Iterable[tuple[Any, int]], lanes: int, target: Target) -> Any:
    """Weighted popcount of (word uint32 x lanes, level) pairs: int32 x lanes."""
    levels = add_weighted_words(words, full_adder(target))
    if has_dot_product(target) and lanes * 4 == target.vector_bytes:
        ones = splat(1, "int8", 4 * lanes)
        total = splat(0, "int32", lanes)
        for index, level in enumerate(reversed(levels)):
            if index:
                total = keep(total + total)
            for word in level:
                total = keep(dot_product(total, _bytes(word, lanes), ones))
        return total
    total = None
    for start in reversed(range(0, len(levels), _LEVELS_IN_BYTE)):
        count = _sum_of_bytes(_count_bytes(levels[start : start + _LEVELS_IN_BYTE], lanes), lanes)
        if total is not None:
            count = keep((total << splat(_LEVELS_IN_BYTE, "int32", lanes)) + count)
        total = count
    return total


def _count_bytes(levels: list[list[Any]], lanes: int) -> Any:
    total = None
    for level in reversed(levels):
        if total is not None:
            total = keep(total + total)
        for word in level:
            count = _bytes(word, lanes)
            total = count if total is None else keep(total + count)
    return splat(0, "uint8", 4 * lanes) if total is None else total


def _bytes(word: Any, lanes: int) -> Any:
    return keep(T.popcount(T.reinterpret(f"uint8x{4 * lanes}", word)))


def _sum_of_bytes(counts: Any, lanes: int) -> Any:
    """The four bytes of each lane added up: int32."""
    wide = keep(T.reinterpret(f"uint32x{lanes}", counts))
    every_other = splat(0x00FF00FF, "uint32", lanes)
    pairs = keep((wide & every_other) + ((wide >> splat(8, "uint32", lanes)) & every_other))
    fours = (pairs + (pairs >> splat(16, "uint32", lanes))) & splat(0xFFFF, "uint32", lanes)
    return keep(T.reinterpret(f"int32x{lanes}", fours))
