"""First convolution: uint8 image, int8 weights, int32 sums, one threshold per channel, packed bits.

Algebra. sum = sum over taps and channels of x * w, exactly, in int32; bit = (sum >= threshold).
Pads with 0, which adds nothing.

Layout. Lanes are output channels, as in the binary 1x1 convolution: the input value is broadcast
and nothing is added across lanes. The image is first copied into a border of zeros, where the
kernel * channels values that one row of a filter needs are contiguous.

  AVX-512 VNNI: lanes of four int8 weights; four bytes of the image are broadcast and one
  ``vpdpbusd`` multiplies and adds 64 pairs. A row of a filter is filled up to a multiple of four
  with zero weights: 3x3x3 takes 9 instructions per 16 channels.
  Other x86: the same with two int16 weights and values, ``vpmaddwd`` and an addition.
  NEON: int16 weights, one value at a time, widening multiply-adds: two ``smlal`` per 8 channels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import pack_bits, packed_bytes
from bitat_deploy.operators.operator import Operator, TensorSpec
from bitat_deploy.operators.vector_code import (
    dot_product,
    has_dot_product,
    load,
    splat,
    store,
    store_mask,
)
from bitat_deploy.target import Target

_WIDENING_PRODUCT = {
    "aarch64": "llvm.aarch64.neon.smull",
    "armv7l": "llvm.arm.neon.vmulls",
}


@dataclass(frozen=True, eq=False)
class QuantizedConv(Operator):
    """Convolution of a uint8 image with int8 filters at a fixed shape; pads with 0.

    ``weight`` int8 [out, kernel, kernel, channels]; ``threshold`` int32 [out]. Reads uint8
    [1, height, width, channels], writes packed bits.
    """

    kind = "quantized_conv"

    height: int
    width: int
    weight: NDArray[np.int8]
    threshold: NDArray[np.int32]
    stride: int
    padding: int
    target: Target

    @property
    def out_channels(self) -> int:
        """Number of filters."""
        return self.weight.shape[0]

    @property
    def kernel(self) -> int:
        """Height and width of the filters."""
        return self.weight.shape[1]

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return self.weight.shape[3]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The image."""
        return (TensorSpec((1, self.height, self.width, self.channels), "uint8"),)

    @property
    def output(self) -> TensorSpec:
        """Packed activations."""
        height, width = (
            (size + 2 * self.padding - self.kernel) // self.stride + 1
            for size in (self.height, self.width)
        )
        return TensorSpec((1, height, width, packed_bytes(self.out_channels)), "uint8")

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Weights [vector][filter row][step][lane][group], flat; thresholds [vectors * lanes]."""
        lanes, group = self._lanes, self._group
        filters = np.zeros((self._vectors * lanes, self.kernel, self._steps * group), np.int8)
        rows = self.weight.reshape(self.out_channels, self.kernel, -1)
        filters[: self.out_channels, :, : rows.shape[2]] = rows
        grouped = filters.reshape(self._vectors, lanes, self.kernel, self._steps, group)
        weight = grouped.transpose(0, 2, 3, 1, 4).ravel()
        # No sum of a spare channel (always 0) reaches the largest int32: its bit is 0.
        threshold = np.full(self._vectors * lanes, np.iinfo(np.int32).max, np.int32)
        threshold[: self.out_channels] = self.threshold
        return (weight if group == 4 else weight.astype(np.int16)), threshold

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The sums, tap by tap, in plain numpy."""
        border = (self.padding, self.padding)
        padded = np.pad(x.astype(np.int32), ((0, 0), border, border, (0, 0)))
        height, width = self.output.shape[1:3]
        sums = np.zeros((1, height, width, self.out_channels), np.int32)
        for i in range(self.kernel):
            for j in range(self.kernel):
                rows = slice(i, i + self.stride * (height - 1) + 1, self.stride)
                columns = slice(j, j + self.stride * (width - 1) + 1, self.stride)
                sums += padded[:, rows, columns] @ self.weight[:, i, j].astype(np.int32).T
        return pack_bits(sums >= self.threshold)

    @property
    def _group(self) -> int:
        """Values of the image that an output channel takes with one instruction."""
        if self.target.architecture != "x86_64":
            return 1
        return 4 if has_dot_product(self.target) else 2

    @property
    def _copy_dtype(self) -> str:
        return "uint8" if self._group == 4 else "int16"

    @property
    def _lanes(self) -> int:
        """Output channels at a time; at least a byte of output."""
        return max(self.target.vector_bytes // 4, 8)

    @property
    def _vectors(self) -> int:
        return -(-self.out_channels // self._lanes)

    @property
    def _steps(self) -> int:
        """Instructions for one row of a filter."""
        return -(-self.kernel * self.channels // self._group)

    def emit(self, x: Any, weight: Any, threshold: Any, y: Any) -> None:
        """Copy, then loop over vectors of channels and over pixels."""
        row_length = (self.width + 2 * self.padding) * self.channels
        rows = self.height + 2 * self.padding
        # Slack: the last group of a filter's row may read past its end, times weights of zero.
        copy = T.alloc_buffer([rows * row_length + self._group], self._copy_dtype)
        self._emit_copy(x, copy, rows, row_length)
        lanes, bytes_per_vector = self._lanes, self._lanes // 8
        _, height, width, out_bytes = self.output.shape

        def emit(vector: Any, size: int) -> None:
            with T.serial(height) as row, T.serial(width) as column:
                sums = self._emit_sums(copy, weight, vector, row, column, row_length)
                mask = sums >= load(threshold, vector * lanes, lanes)
                offset = (row * width + column) * out_bytes + vector * bytes_per_vector
                store_mask(y, offset, mask, lanes, size)

        full, rest = divmod(out_bytes, bytes_per_vector)
        if full:
            with T.serial(full) as vector:
                emit(vector, bytes_per_vector)
        if rest:
            emit(full, rest)

    def _emit_copy(self, x: Any, copy: Any, rows: int, row_length: int) -> None:
        """Copy x inside of a border of zeros."""
        run = self.width * self.channels
        with T.serial(rows * row_length + self._group) as value:
            T.buffer_store(copy, splat(0, self._copy_dtype, 1), [value])
        with T.serial(self.height) as row, T.serial(run) as value:
            target = (row + self.padding) * row_length + self.padding * self.channels + value
            T.buffer_store(copy, T.cast(x[row * run + value], self._copy_dtype), [target])

    def _emit_sums(
        self, copy: Any, weight: Any, vector: Any, row: Any, column: Any, row_length: int
    ) -> Any:
        """One vector of int32 sums of one pixel."""
        lanes, group = self._lanes, self._group
        sums = T.alloc_buffer([lanes], "int32")
        store(sums, 0, splat(0, "int32", lanes), lanes)

        def step(i: Any, k: Any) -> None:
            start = (row * self.stride + i) * row_length + column * (self.stride * self.channels)
            offset = ((vector * self.kernel + i) * self._steps + k) * (lanes * group)
            values = load(copy, start + k * group, group)
            weights = load(weight, offset, lanes * group)
            total = self._emit_product(load(sums, 0, lanes), values, weights)
            store(sums, 0, total, lanes)

        if self.kernel * self._steps <= 64:
            for i in range(self.kernel):
                for k in range(self._steps):
                    step(i, k)
        else:
            with T.serial(self.kernel) as i, T.serial(self._steps) as k:
                step(i, k)
        return load(sums, 0, lanes)

    def _emit_product(self, sums: Any, values: Any, weights: Any) -> Any:
        lanes = self._lanes
        wide = f"int32x{lanes}"
        if self._group == 1:
            return sums + self._emit_widening_product(T.broadcast(values, lanes), weights)
        image = T.broadcast(T.reinterpret("int32", values), lanes)
        if self._group == 4:
            return dot_product(sums, T.reinterpret(f"uint8x{4 * lanes}", image), weights)
        pairs = T.reinterpret(f"int16x{2 * lanes}", image)
        name = "llvm.x86.avx512.pmaddw.d.512" if lanes == 16 else "llvm.x86.avx2.pmadd.wd"
        return sums + T.call_llvm_pure_intrin(wide, name, pairs, weights)

    def _emit_widening_product(self, a: Any, b: Any) -> Any:
        """int16 times int16 to int32, eight lanes: NEON.

        Named explicitly: from a multiplication of widened operands LLVM moves the widening of the
        weights out of the loop and is left with multiplications of int32, which take twice as long.
        """
        name = _WIDENING_PRODUCT[self.target.architecture]
        halves = [
            T.call_llvm_pure_intrin("int32x4", name, half(a), half(b)) for half in (_low, _high)
        ]
        return T.vectorcombine("int32x8", *halves)


def _low(vector: Any) -> Any:
    return T.vectorlow("int16x4", vector)


def _high(vector: Any) -> Any:
    return T.vectorhigh("int16x4", vector)
