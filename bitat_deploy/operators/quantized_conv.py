"""Convolution of the uint8 picture with int8 weights, any window and groups, with its output stage.

Algebra. sum = sum over taps and channels of x * w, exactly, in int32. Pads with 0, which adds
nothing.

Layout. Lanes are output channels, as in the binary 1x1 convolution: the input value is broadcast
and nothing is added across lanes. The picture is first copied into its border. Weights are
[group][vector][run][step][lane][value]: a step takes a few values of a run at once, which is filled
up with weights of 0.

  AVX-512 VNNI: lanes of four int8 weights; four bytes of the picture are broadcast and one
  ``vpdpbusd`` multiplies and adds 64 pairs: 3x3x3 takes 9 instructions per 16 channels.
  Other x86: the same with two int16 weights and values, ``vpmaddwd`` and an addition.
  NEON with dot products: as VNNI by ``sdot``, both sides int8: the copy holds x - 128, its border
  -128, and 128 * (sum of weights) is added once: 9 ``sdot`` per 4 channels.
  Other NEON: int16 weights, one value at a time, widening multiply-adds: 27 ``smlal`` per 4.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.operators.convolution import ConvolutionOperator, PaddedCopy
from bitat_deploy.operators.output_stage import Place, StageCode
from bitat_deploy.operators.vector_code import (
    dot_product,
    for_vectors,
    has_dot_product,
    keep,
    load,
    splat,
    store,
    vector_dtype,
)

_WIDENING_PRODUCT = {
    "aarch64": "llvm.aarch64.neon.smull",
    "armv7l": "llvm.arm.neon.vmulls",
}
_UNROLLED = 256  # products of a tile in straight-line code


@dataclass(frozen=True)
class QuantizedConvSchedule:
    """What can be chosen without changing the result: the tile."""

    pixels: int
    channel_vectors: int


@dataclass(frozen=True, eq=False)
class QuantizedConv(ConvolutionOperator):
    """Convolution of the picture uint8 [1, height, width, channels] at a fixed shape."""

    kind = "quantized_conv"

    @cached_property
    def stage_code(self) -> StageCode:
        """The output stage of the sums, or of those of x - 128."""
        base = None
        if self._has_signed_dot_product:
            base = 128 * self.layer.weight.astype(np.int64).sum(axis=(1, 2, 3))[None]
        channels = self.layer.out_channels
        return StageCode(
            self.layer.output, channels, self._lanes, self.shortcut_channels, base=base
        )

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Weights [group][vector][run][step][lane][value], flat; the output stage's."""
        layer, lanes, values = self.layer, self._lanes, self._values
        groups, vectors = layer.groups, self.group_vectors(lanes)
        runs = layer.weight.reshape(groups, layer.out_channels // groups, self.runs, -1)
        spare_lanes = vectors * lanes - runs.shape[1]
        spare = self._steps * values - runs.shape[3]
        runs = np.pad(runs, ((0, 0), (0, spare_lanes), (0, 0), (0, spare)))
        runs = runs.reshape(groups, vectors, lanes, self.runs, self._steps, values)
        weight = runs.transpose(0, 1, 3, 4, 2, 5).ravel()
        dtype = np.int8 if values == 4 else np.int16
        return (weight.astype(dtype), *self.stage_code.constants())

    def space(self) -> tuple[QuantizedConvSchedule, ...]:
        """Tiles that registers hold."""
        vectors_of_lane = self._lanes * 4 // self.target.vector_bytes
        shapes = [(p, v) for v in (1, 2) for p in (1, 2, 4, 8) if p * v * vectors_of_lane <= 16]
        return tuple(QuantizedConvSchedule(*shape) for shape in shapes)

    @property
    def _schedule(self) -> QuantizedConvSchedule:
        schedule: QuantizedConvSchedule | None = self.schedule
        is_x86 = self.target.architecture == "x86_64"
        return schedule or QuantizedConvSchedule(*((2, 2) if is_x86 else (4, 1)))

    @property
    def _has_signed_dot_product(self) -> bool:
        return self.target.architecture == "aarch64" and "+dotprod" in self.target.features

    @property
    def _values(self) -> int:
        """Values of the picture that an output channel takes with one instruction."""
        if self._has_signed_dot_product or has_dot_product(self.target):
            return 4
        return 2 if self.target.architecture == "x86_64" else 1

    @property
    def _copy_dtype(self) -> str:
        if self._has_signed_dot_product:
            return "int8"
        return "uint8" if self._values == 4 else "int16"

    @property
    def _lanes(self) -> int:
        """Output channels at a time; at least a byte of output."""
        return max(self.target.vector_bytes // 4, 8)

    @property
    def _steps(self) -> int:
        """Instructions for one run of a filter."""
        return -(-self.run_taps * self.group_channels // self._values)

    def emit(self, x: Any, *buffers: Any) -> None:
        """Copy the picture, and compute tile by tile."""
        rest = list(buffers)
        y = rest.pop()
        shortcut = rest.pop(0) if self.shortcut_channels else None
        weight, *stage_constants = rest
        code, stride, schedule = self.stage_code, self.layer.stride, self._schedule
        copied = PaddedCopy(self, 1, self.group_channels, self._copy_dtype, slack=self._values)
        copy = self._emit_copy(x, copied)
        vector_size = self.runs * self._steps * self._lanes * self._values

        def emit_values(
            row: Any, column: Any, group: Any, first: Any, pixels: int, vectors: int
        ) -> list[Any]:
            def value_at(pixel: int, run: Any, step: Any) -> Any:
                down, right = self.run_offset(run)
                start = copied.address(
                    0, group, row * stride + down, (column + pixel) * stride + right
                )
                return load(copy, start + step * self._values, self._values)

            def weights_at(vector: int, run: Any, step: Any) -> Any:
                size = self._lanes * self._values
                start = (group * self.group_vectors(self._lanes) + first + vector) * vector_size
                return load(weight, start + (run * self._steps + step) * size, size)

            return self._emit_sums(value_at, weights_at, pixels, vectors)

        def finish(row: Any, column: Any, vector: Any, count: int, value: Any) -> None:
            place = Place(row * self.row_width + column, vector, count)
            code.emit(value, place, tuple(stage_constants), shortcut, y)

        self.emit_tiles(code, (schedule.pixels, schedule.channel_vectors), emit_values, finish)

    def _emit_copy(self, x: Any, copied: PaddedCopy) -> Any:
        """Copy x inside of a border of zeros, minus 128 for signed dot products."""

        def emit_run(copy: Any, address: Any, _: Any, group: Any, pixel: Any, size: int) -> None:
            def emit_part(element: Any, lanes: int) -> None:
                start = pixel * self.channels + group * self.group_channels + element
                value = load(x, start, lanes)
                if self._has_signed_dot_product:
                    value = value ^ splat(128, "uint8", lanes)
                    value = T.reinterpret(vector_dtype("int8", lanes), value)
                else:
                    value = T.cast(value, vector_dtype(self._copy_dtype, lanes))
                store(copy, address + element, value, lanes)

            for_vectors(size, self.target.vector_bytes, emit_part)

        border = -128 if self._has_signed_dot_product else 0
        return copied.emit((border, border), emit_run)

    def _emit_sums(self, value_at: Any, weights_at: Any, pixels: int, vectors: int) -> list[Any]:
        """A vector of int32 sums for each pixel and vector of channels."""
        lanes = self._lanes
        sums = [[T.alloc_buffer([lanes], "int32") for _ in range(vectors)] for _ in range(pixels)]
        for row in sums:
            for buffer in row:
                store(buffer, 0, splat(0, "int32", lanes), lanes)

        def step(run: Any, index: Any) -> None:
            for vector in range(vectors):
                weights = keep(weights_at(vector, run, index))
                for pixel in range(pixels):
                    buffer = sums[pixel][vector]
                    value = value_at(pixel, run, index)
                    total = self._emit_product(load(buffer, 0, lanes), value, weights)
                    store(buffer, 0, total, lanes)

        if self.runs * self._steps * pixels * vectors <= _UNROLLED:
            for run in range(self.runs):
                for index in range(self._steps):
                    step(run, index)
        else:
            with T.serial(self.runs) as run, T.serial(self._steps) as index:
                step(run, index)
        return [load(buffer, 0, lanes) for row in sums for buffer in row]

    def _emit_product(self, sums: Any, values: Any, weights: Any) -> Any:
        lanes = self._lanes
        if self._values == 1:
            return sums + self._emit_widening_product(T.broadcast(values, lanes), weights)
        image = T.broadcast(T.reinterpret("int32", values), lanes)
        if self._has_signed_dot_product:
            return _signed_dot_product(sums, image, weights)
        if self._values == 4:
            return dot_product(sums, T.reinterpret(f"uint8x{4 * lanes}", image), weights)
        pairs = T.reinterpret(f"int16x{2 * lanes}", image)
        name = "llvm.x86.avx512.pmaddw.d.512" if lanes == 16 else "llvm.x86.avx2.pmadd.wd"
        return sums + T.call_llvm_pure_intrin(f"int32x{lanes}", name, pairs, weights)

    def _emit_widening_product(self, a: Any, b: Any) -> Any:
        """int16 times int16 to int32, eight lanes: NEON.

        Named explicitly: from a multiplication of widened operands LLVM moves the widening of the
        weights out of the loop and is left with multiplications of int32, which take twice as long.
        """
        name = _WIDENING_PRODUCT[self.target.architecture]
        halves = [
            T.call_llvm_pure_intrin("int32x4", name, half("int16x4", a), half("int16x4", b))
            for half in (T.vectorlow, T.vectorhigh)
        ]
        return T.vectorcombine("int32x8", *halves)


def _signed_dot_product(sums: Any, image: Any, weights: Any) -> Any:
    """Add four products of int8 and int8 to each of eight int32 lanes; ``image`` is int32x8."""
    values = T.reinterpret("int8x32", image)
    halves = [
        T.call_llvm_pure_intrin(
            "int32x4",
            "llvm.aarch64.neon.sdot",
            half("int32x4", sums),
            half("int8x16", values),
            half("int8x16", weights),
        )
        for half in (T.vectorlow, T.vectorhigh)
    ]
    return T.vectorcombine("int32x8", *halves)
