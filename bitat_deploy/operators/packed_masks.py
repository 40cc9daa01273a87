"""Packing comparisons on 64-bit ARM: masks of sixteen channels to two bytes each, eight at a time.

Each lane keeps the bit of its channel in its byte, and three pairwise additions bring the bits of
eight lanes together: for eight masks seven ``addp``, where one by itself takes five instructions.
"""

import math
from collections.abc import Sequence
from typing import Any

from tvm.script.ir_builder import tirx as T

from bitat_deploy.operators.vector_code import keep, splat, store, vector_dtype

LANES = 16  # of a mask

_LEVELS = 3  # of additions


def store_masks(y: Any, starts: Sequence[Any], masks: Sequence[Any], size: int) -> None:
    """Pack boolx16 masks, as many for each of ``starts``; write the first ``size`` bytes there.

    The masks of a start follow each other, and so do their bytes; lane 0 is the lowest bit.
    """
    zeros = splat(0, "uint8", LANES)
    digit = splat(1, "uint8", LANES) << (
        T.ramp(splat(0, "uint8", 1), splat(1, "uint8", 1), LANES) & splat(7, "uint8", LANES)
    )
    digit = keep(digit)
    vectors = [keep(T.Select(mask, digit, zeros)) for mask in masks]
    for _ in range(_LEVELS):
        vectors += vectors[-1:] * (len(vectors) % 2)
        vectors = [
            keep(T.call_llvm_pure_intrin("uint8x16", "llvm.aarch64.neon.addp", a, b))
            for a, b in zip(vectors[::2], vectors[1::2], strict=True)
        ]
    each = 2 * len(masks) // len(starts)  # bytes of a start
    whole = math.gcd(each, LANES) if size == each else 1
    for number, start in enumerate(starts):
        for byte in range(0, size, whole):
            vector, place = divmod(number * each + byte, LANES)
            store(y, start + byte, _part(vectors[vector], place // whole, whole), whole)


def _part(vector: Any, index: int, size: int) -> Any:
    """``size`` bytes of a vector of bytes, from ``index * size`` on."""
    if size == LANES:
        return vector
    if size == 1:
        return T.Shuffle([vector], [index])
    words = T.reinterpret(f"uint{8 * size}x{LANES // size}", vector)
    return T.reinterpret(vector_dtype("uint8", size), T.Shuffle([words], [index]))
