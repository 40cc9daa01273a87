"""Products of 8-bit weights, added up in int32 lanes, by each processor's own instructions.

An instruction takes a few *values* of a sum at once, in every lane: the value vector holds the same
values in all lanes, the weights are [lane][value].

  AVX-512 VNNI: four uint8 values, int8 weights; one ``vpdpbusd`` multiplies and adds 64 pairs.
  AVX-VNNI: the same with vectors of AVX2, 32 pairs.
  Other x86: two int16 values and weights; ``vpmaddwd`` and an addition. Codes of a few bits, which
  are *small*: four uint8 values, int8 weights; ``vpmaddubsw`` and an addition in int16 for 32 or 64
  pairs, and for every chain of steps a ``vpmaddwd`` and an addition in int32.
  NEON with dot products: four int8 values; one ``sdot`` for every four lanes.
  Other NEON: two int8 values; ``smull`` and ``smlal`` add the products of a few steps in int16
  lanes, one for each value, and ``sadalp`` adds these to the sums: with a chain of two steps three
  instructions for 16 products, where widening int16 products take four.

On NEON eight lanes are two registers. Their weights are loaded each by itself: from a vector that
was loaded whole LLVM takes the upper half with an ``ext``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import tirx as T

from bitat_deploy.operators.vector_code import (
    dot_product,
    has_dot_product,
    keep,
    load,
    splat,
    vector_dtype,
)
from bitat_deploy.target import Target

_REGISTER = 16  # bytes, on NEON
_LONGEST_PAIRS = 4  # steps in registers; eight are no faster
_INT16 = np.iinfo(np.int16).max


@dataclass(frozen=True)
class NarrowProducts:
    """How a target multiplies narrow integers: vectors of ``lanes`` sums.

    ``values`` of ``dtype`` are taken at once; where that is not int8 or int16, the least int8 value
    has to become 0. ``weight_dtype`` is what the weights have to be. With ``by_lane`` dot products
    of NEON take the values from a lane of a register, without a broadcast: better for long sums,
    worse for the first layer (docs/kernels.md). With ``small`` two products of uint8 fit into
    int16.
    """

    target: Target
    by_lane: bool = False
    small: bool = False

    @property
    def lanes(self) -> int:
        """Sums in a vector; at least a byte of packed output."""
        return max(self.target.vector_bytes // 4, 8)

    @property
    def values(self) -> int:
        """Values of a sum that an instruction takes."""
        return 4 if self._has_dot_product or self._in_pairs else 2

    @property
    def dtype(self) -> str:
        """Type of the values."""
        if self.target.architecture != "x86_64":
            return "int8"
        return "uint8" if self.values == 4 else "int16"

    @property
    def weight_dtype(self) -> str:
        """Type of the weights."""
        return "int16" if self.dtype == "int16" else "int8"

    def chain(self, largest_product: int) -> int:
        """Steps that :meth:`emit_sum` is given at once: more may overflow, fewer cost more."""
        if self._in_pairs:
            return max(1, min(_LONGEST_PAIRS, _INT16 // (2 * largest_product)))
        if self.dtype != "int8" or self.values == 4:
            return 1
        return max(1, min(8, _INT16 // largest_product))

    def load_values(self, buffer: Any, offset: Any, steps: int) -> list[Any]:
        """The values of consecutive steps, each in all lanes of a register.

        On NEON up to :attr:`slack` elements behind them are read, too.
        """
        few = self.values
        if self.dtype != "int8":
            whole = f"{self.dtype}x{few * self.lanes}"
            loads = [load(buffer, offset + step * few, few) for step in range(steps)]
            words = [T.broadcast(T.reinterpret("int32", value), self.lanes) for value in loads]
            return [keep(T.reinterpret(whole, word)) for word in words]
        values = []
        for start in range(0, steps * few, _REGISTER):
            wanted = min(_REGISTER, steps * few - start)
            # TVM's shuffles have no more lanes than what they take.
            size = self._part if wanted <= self._part else _REGISTER
            register = keep(load(buffer, offset + start, size))
            for first in range(0, wanted, few):
                indices = [first + index for index in range(few)] * (self._part // few)
                values.append(keep(T.Shuffle([register], indices)))
        return values

    def load_weights(self, buffer: Any, offset: Any) -> list[Any]:
        """The weights of a step, from a buffer of :attr:`weight_dtype` or int8: registers."""
        size = self.lanes * self.values
        dtype = vector_dtype(self.weight_dtype, self._part)
        return [
            keep(T.cast(load(buffer, offset + start, self._part), dtype))
            for start in range(0, size, self._part)
        ]

    def emit_sum(self, sums: Any, steps: Sequence[tuple[Any, list[Any]]]) -> Any:
        """Add the products of a few steps, (values, weights) each, to the lanes of ``sums``."""
        if self._in_pairs:
            return keep(self._emit_pairs(sums, steps))
        if self.dtype != "int8":
            for values, (weights,) in steps:
                sums = keep(self._emit_wide_product(sums, values, weights))
            return sums
        emit_part = self._emit_dot_products if self.values == 4 else self._emit_chain
        halves = []
        for part, half in enumerate((T.vectorlow, T.vectorhigh)):
            pairs = [(values, weights[part]) for values, weights in steps]
            halves.append(keep(emit_part(half("int32x4", sums), pairs)))
        return T.vectorcombine("int32x8", *halves)

    @property
    def slack(self) -> int:
        """Elements that have to be in memory behind the values."""
        return _REGISTER if self.dtype == "int8" else 0

    @property
    def _part(self) -> int:
        """Weights in a register, or in the half of one that ``smull`` takes."""
        return self.values * (4 if self.dtype == "int8" else self.lanes)

    @property
    def _in_pairs(self) -> bool:
        """Whether ``vpmaddubsw`` adds two products in int16."""
        return self.small and self.target.architecture == "x86_64" and not self._has_dot_product

    @property
    def _has_dot_product(self) -> bool:
        return self._has_signed_dot_product or self._has_unsigned_dot_product

    @property
    def _has_signed_dot_product(self) -> bool:
        return self.target.architecture == "aarch64" and "+dotprod" in self.target.features

    @property
    def _has_unsigned_dot_product(self) -> bool:
        of_avx2 = self.target.vector_bytes == 32 and "+avxvnni" in self.target.features
        return has_dot_product(self.target) or of_avx2

    def _emit_wide_product(self, sums: Any, values: Any, weights: Any) -> Any:
        if self.values == 4:
            return dot_product(sums, values, weights)
        return sums + self._emit_added_pairs(values, weights)

    def _emit_added_pairs(self, values: Any, weights: Any) -> Any:
        """Of int16: two products in each int32 lane."""
        name = "llvm.x86.avx512.pmaddw.d.512" if self.lanes == 16 else "llvm.x86.avx2.pmadd.wd"
        return T.call_llvm_pure_intrin(f"int32x{self.lanes}", name, values, weights)

    def _emit_pairs(self, sums: Any, steps: Sequence[tuple[Any, list[Any]]]) -> Any:
        wide = self.lanes == 16
        name = "llvm.x86.avx512.pmaddubs.w.512" if wide else "llvm.x86.avx2.pmadd.ub.sw"
        bytes_, words = f"int8x{4 * self.lanes}", f"int16x{2 * self.lanes}"
        total: Any = None
        for values, (weights,) in steps:
            signed = T.reinterpret(bytes_, values)
            pairs = T.call_llvm_pure_intrin(words, name, signed, weights)
            total = keep(pairs if total is None else total + pairs)
        return sums + self._emit_added_pairs(total, splat(1, "int16", 2 * self.lanes))

    def _emit_dot_products(self, sums: Any, steps: Sequence[tuple[Any, Any]]) -> Any:
        for values, weights in steps:
            name = "llvm.aarch64.neon.sdot"
            # LLVM takes a lane for the last operand alone.
            pair = (weights, values) if self.by_lane else (values, weights)
            sums = keep(T.call_llvm_pure_intrin("int32x4", name, sums, *pair))
        return sums

    def _emit_chain(self, sums: Any, steps: Sequence[tuple[Any, Any]]) -> Any:
        arm64 = self.target.architecture == "aarch64"
        product = "llvm.aarch64.neon.smull" if arm64 else "llvm.arm.neon.vmulls"
        total: Any = None
        for values, weights in steps:
            products = T.call_llvm_pure_intrin("int16x8", product, values, weights)
            total = keep(products if total is None else total + products)
        if arm64:
            return sums + T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.saddlp", total)
        return T.call_llvm_pure_intrin("int32x4", "llvm.arm.neon.vpadals", sums, total)
