"""Emitting vector code: the TIR idioms that all operators use.

Operators build their functions with TVM's IRBuilder. A value is kept under a name as soon as it is
computed (:func:`keep`), so that what we emit is straight-line code of vector instructions, and
buffers are seen flat, so that an address is one number.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tvm
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from bitat_deploy.target import Target

# Vector operations that a thread must have for itself, at least: starting and ending a loop takes
# 0.1 to 0.3 microseconds, in which one thread does half as many.
_WORTH_SHARING = 1 << 11


def sharing_threads(target: Target, operations: int) -> int:
    """How many threads share so many vector operations; 1 where sharing does not pay."""
    return max(1, min(target.cores, operations // _WORTH_SHARING))


@contextmanager
def stretches(extent: int, target: Target, operations: int | None = None) -> Iterator[Any]:
    """(begin, end) of what each thread does of ``extent`` independent steps: neighbours.

    Steps must not write to memory that another step reads, nor to its neighbourhood (a cache line).
    ``operations`` are about the vector operations of all; None where they are many at any shape
    that matters.
    """
    threads = target.cores if operations is None else sharing_threads(target, operations)
    threads = min(threads, extent)
    if threads == 1:
        yield 0, extent
    else:
        with T.parallel(threads) as thread:
            yield thread * extent // threads, (thread + 1) * extent // threads


@contextmanager
def parts(extent: int, target: Target, operations: int | None = None) -> Iterator[Any]:
    """A loop over independent steps, which threads share where that pays: as :func:`stretches`."""
    with stretches(extent, target, operations) as (begin, end), T.serial(begin, end) as index:
        yield index


def for_vectors(total: int, lanes: int, emit: Callable[[Any, int], None]) -> None:
    """Call ``emit(offset, lanes)`` for vectors that cover ``total``, the last ones smaller."""
    full = total // lanes
    if full:
        with T.serial(full) as part:
            emit(part * lanes, lanes)
    done = full * lanes
    while done < total:
        size = 1 << ((total - done).bit_length() - 1)
        emit(done, size)
        done += size


def keep(value: Any) -> Any:
    """Compute a value once, in a register, for several uses.

    A store into a small buffer on the stack, which LLVM makes a register again. ``T.bind`` would
    say it directly, but TVM's simplifier substitutes such a binding into every use, and a tree of
    adders grows exponentially. (Not ``scope="local"``: on a CPU that is a heap allocation.)
    """
    kind = tvm.DataType(value.ty.dtype)
    register = T.alloc_buffer([kind.lanes], element_dtype(value))
    store(register, 0, value, kind.lanes)
    return load(register, 0, kind.lanes)


def element_dtype(value: Any) -> str:
    """The dtype of one lane: uint8 of uint8x16."""
    return str(value.ty.dtype).split("x")[0]


def splat(value: float, dtype: str, lanes: int) -> Any:
    """A constant in every lane."""
    scalar = tirx.const(value, dtype)
    return T.broadcast(scalar, lanes) if lanes > 1 else scalar


def load(buffer: Any, offset: Any, lanes: int) -> Any:
    """``lanes`` consecutive elements from ``offset`` on."""
    return buffer[T.ramp(offset, 1, lanes)] if lanes > 1 else buffer[offset]


def store(buffer: Any, offset: Any, value: Any, lanes: int) -> None:
    """Write ``lanes`` consecutive elements from ``offset`` on."""
    T.buffer_store(buffer, value, [T.ramp(offset, 1, lanes) if lanes > 1 else offset])


def load_word(buffer: Any, offset: Any, size: int, bits: int) -> Any:
    """``size`` bytes as one unsigned little-endian number of ``bits`` bits, zero-extended."""
    dtype = f"uint{bits}"
    if size * 8 == bits:
        return T.reinterpret(dtype, load(buffer, offset, size)) if size > 1 else buffer[offset]
    word = T.cast(buffer[offset], dtype)
    for i in range(1, size):
        word = word | (T.cast(buffer[offset + i], dtype) << splat(8 * i, dtype, 1))
    return word


def store_mask(buffer: Any, offset: Any, mask: Any, lanes: int, size: int) -> None:
    """Pack a vector of ``lanes`` booleans into bits, lane 0 lowest; write its first ``size`` bytes.

    LLVM turns the cast into a mask register (AVX-512), ``movmsk`` (AVX2) or a multiplication by
    powers of two with a horizontal addition (NEON).
    """
    bits = T.reinterpret(f"uint{lanes}", T.cast(mask, f"uint1x{lanes}"))
    if size * 8 == lanes:
        store(buffer, offset, T.reinterpret(vector_dtype("uint8", size), bits), size)
        return
    bits = keep(bits)
    for i in range(size):
        byte = T.cast(bits >> splat(8 * i, f"uint{lanes}", 1), "uint8")
        T.buffer_store(buffer, byte, [offset + i])


def load_bits(buffer: Any, offset: Any, size: int, target: Target) -> Any:
    """``size`` bytes as a vector of 8 booleans each, the lowest bit first: store_mask's inverse.

    On x86 LLVM makes a cast a mask register or a comparison; on NEON it would take the bits one by
    one, so each byte is broadcast to 8 lanes and tested (``cmtst``) for a bit of its own in each.
    """
    lanes = 8 * size
    if target.architecture == "x86_64":
        word = T.reinterpret(f"uint{lanes}", load(buffer, offset, size))
        return T.cast(T.reinterpret(f"uint1x{lanes}", word), f"boolx{lanes}")
    one = splat(1, "uint8", 8)
    digit = one << T.ramp(splat(0, "uint8", 1), splat(1, "uint8", 1), 8)
    values = [T.broadcast(buffer[offset + byte], 8) for byte in range(size)]
    digits = [digit] * size
    while len(values) > 1:
        values, digits = _joined(values), _joined(digits)
    return (values[0] & digits[0]) != splat(0, "uint8", lanes)


def _joined(vectors: list[Any]) -> list[Any]:
    """Vectors of the same type, each with the next one in one of twice as many lanes."""
    lanes = 2 * tvm.DataType(vectors[0].ty.dtype).lanes
    dtype = f"{element_dtype(vectors[0])}x{lanes}"
    pairs = zip(vectors[::2], vectors[1::2], strict=True)
    return [T.vectorcombine(dtype, low, high) for low, high in pairs]


def has_dot_product(target: Target) -> bool:
    """Whether :func:`dot_product` is there: AVX-512 VNNI."""
    return target.vector_bytes == 64 and "+avx512vnni" in target.features


def dot_product(sums: Any, unsigned: Any, signed: Any) -> Any:
    """Add four products of uint8 and int8 to each int32 lane, of 16 or, on AVX-VNNI, of 8."""
    lanes = tvm.DataType(sums.ty.dtype).lanes
    name = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}"
    unsigned = T.reinterpret(f"int8x{4 * lanes}", unsigned)
    return T.call_llvm_pure_intrin(f"int32x{lanes}", name, sums, unsigned, signed)


def vector_dtype(dtype: str, lanes: int) -> str:
    """TVM's name of a vector type: uint8x16, or uint8 for one lane."""
    return f"{dtype}x{lanes}" if lanes > 1 else dtype
