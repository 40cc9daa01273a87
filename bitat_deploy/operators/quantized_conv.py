"""Convolution with int8 weights, any window and groups, with its output stage.

It reads the picture, bytes, or codes of 1 to 4 bits, which are unpacked.

Algebra. sum = sum over taps and channels of x * w, exactly, in int32.

Layout. Lanes are output channels, as in the binary 1x1 convolution: the input value is broadcast
and nothing is added across lanes. The input is first copied into its border (:mod:`.byte_copy`).
Weights are [group][vector][run][step][lane][value]: a step takes a few values of a run at once, as
:class:`.NarrowProducts` does, and a run is filled up with weights of 0.

Instructions for 3x3x3, besides broadcasts and loads, which a tile shares: AVX-512 VNNI 9 for 16
channels; NEON 9 ``sdot`` for 4, or without dot products 15 ``smull`` and ``smlal`` and 8 ``sadalp``
for 4 (27 ``smlal`` of int16 were needed before).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import IMAGE_WEIGHT_BITS, Convolution, Format, Image, Quantize
from bitat_deploy.operators.byte_copy import emit_byte_copy, largest_sum, level_range, zero_of
from bitat_deploy.operators.convolution import ConvolutionOperator, PaddedCopy
from bitat_deploy.operators.narrow_products import NarrowProducts
from bitat_deploy.operators.ordered_products import (
    LONGEST_CHAIN,
    VALUE_SLACK,
    WEIGHT_SLACK,
    OrderedProducts,
)
from bitat_deploy.operators.output_stage import Place, StageCode
from bitat_deploy.operators.vector_code import load, splat, store
from bitat_deploy.target import Target

# Products of a tile in straight-line code: of the picture, whose windows are small, and elsewhere.
_UNROLLED_PICTURE, _UNROLLED = 256, 48
_PICTURE_CHANNELS = 4
_INT16 = np.iinfo(np.int16).max
_REGISTER_SUMS = 4  # on NEON
_FEW_BITS = 2
_DOT_VALUES = 4  # that an instruction of dot products takes
_BLOCK = 16  # values of a run that are loaded at once where it is longer


@dataclass(frozen=True)
class QuantizedConvSchedule:
    """What can be chosen without changing the result: the tile."""

    pixels: int
    channel_vectors: int


@dataclass(frozen=True)
class OrderedConvSchedule(QuantizedConvSchedule):
    """A tile whose products are ordered by hand (:mod:`.ordered_products`), on 64-bit ARM."""

    hand_ordered: bool = True


class QuantizedConv(ConvolutionOperator):
    """Convolution with int8 weights of [1, height, width, channels] at a fixed shape."""

    kind = "quantized_conv"

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All convolutions with 8-bit weights."""
        return isinstance(layer, Convolution) and layer.weight_bits == IMAGE_WEIGHT_BITS

    @cached_property
    def stage_code(self) -> StageCode:
        """The output stage of the sums of what the copy holds."""
        base, zero = None, zero_of(self.source, self._products.dtype)
        if zero:
            base = zero * self.layer.weight.astype(np.int64).sum(axis=(1, 2, 3))[None]
        return StageCode(
            stage=self.layer.output,
            channels=self.layer.out_channels,
            lanes=self._lanes,
            shortcut_channels=self.shortcut_channels,
            base=base,
            largest=largest_sum(self.layer),
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
        if isinstance(self._schedule, OrderedConvSchedule):
            weight = np.pad(weight, (0, WEIGHT_SLACK))
        return (weight.astype(self._products.weight_dtype), *self.stage_code.constants())

    def space(self) -> tuple[QuantizedConvSchedule, ...]:
        """Tiles that registers hold."""
        vectors_of_lane = self._lanes * 4 // self.target.vector_bytes
        sizes = (1, 2, 4, 6, 8)
        shapes = [(p, v) for v in (1, 2, 4) for p in sizes if p * v * vectors_of_lane <= 24]
        tiles = [QuantizedConvSchedule(*shape) for shape in shapes]
        if self._may_be_ordered:
            shapes = [(p, v) for v in (1, 2, 3) for p in range(1, 9) if self._ordered(p, v).fits]
            tiles += [OrderedConvSchedule(*shape) for shape in shapes]
        return tuple(tiles)

    @property
    def _schedule(self) -> QuantizedConvSchedule:
        schedule: QuantizedConvSchedule | None = self.schedule
        return schedule or self._fastest

    @property
    def _fastest(self) -> QuantizedConvSchedule:
        """Measured on x86, modelled on ARM, at 14x14x512, and 3x3 of the picture."""
        dots, in_order = self._values == _DOT_VALUES, self.target.in_order
        chain = self._products.chain(self._largest_product)
        pays = dots and not self._compares_much if not in_order else dots or chain <= LONGEST_CHAIN
        if self._may_be_ordered and pays:
            return OrderedConvSchedule(6 if dots and in_order else 4, 2)
        if self._is_picture or self._values == 2 or chain > 1:
            return QuantizedConvSchedule(2, 2)
        if self.target.architecture != "x86_64":
            return QuantizedConvSchedule(6, 2)
        few_registers = self.target.vector_bytes == 32
        return QuantizedConvSchedule(5, 2) if few_registers else QuantizedConvSchedule(4, 4)

    @property
    def _is_picture(self) -> bool:
        """Whether it is a first layer; int8 files have other layers that read uint8, too."""
        return isinstance(self.source, Image) and self.channels <= _PICTURE_CHANNELS

    @property
    def _compares_much(self) -> bool:
        """Whether the output stage has many thresholds, among which LLVM mixes the products."""
        return isinstance(self.layer.output, Quantize) and self.layer.output.bits > _FEW_BITS

    @property
    def _may_be_ordered(self) -> bool:
        """Long sums on 64-bit ARM."""
        return self.target.architecture == "aarch64" and not self._is_picture

    def _ordered(self, pixels: int, vectors: int) -> OrderedProducts:
        """The products of a run, ordered by hand, for a tile of so many vectors of eight sums."""
        chain = self._products.chain(self._largest_product)
        return OrderedProducts(pixels, 2 * vectors, self._steps, self._values, chain)

    @property
    def _products(self) -> NarrowProducts:
        level = max(
            abs(limit - zero_of(self.source, "uint8")) for limit in level_range(self.source)
        )
        small = 2 * level * self._largest_weight <= _INT16
        return NarrowProducts(self.target, by_lane=not self._is_picture, small=small)

    @property
    def _values(self) -> int:
        return self._products.values

    @property
    def _largest_product(self) -> int:
        """Of what the copy holds and the weights."""
        zero = zero_of(self.source, self._products.dtype)
        level = max(abs(limit - zero) for limit in level_range(self.source))
        return level * self._largest_weight

    @property
    def _largest_weight(self) -> int:
        """In magnitude, or what it may be."""
        bits = self.layer.weight_bits
        least = -127 if bits == IMAGE_WEIGHT_BITS else 1 - 2**bits
        return -int(self.layer.weight.min(initial=least))

    @property
    def _lanes(self) -> int:
        return self._products.lanes

    @property
    def _steps(self) -> int:
        """Instructions for one run of a filter."""
        return -(-self.run_taps * self.group_channels // self._values)

    def emit(self, x: Any, *buffers: Any) -> None:
        """Copy the input, and compute tile by tile."""
        rest = list(buffers)
        y = rest.pop()
        shortcut = rest.pop(0) if self.shortcut_channels else None
        weight, *stage_constants = rest
        code, stride, schedule = self.stage_code, self.layer.stride, self._schedule
        slack = max(self._values, self._products.slack)
        ordered = isinstance(schedule, OrderedConvSchedule)
        slack = VALUE_SLACK if ordered else slack
        copied = PaddedCopy(self, 1, self.group_channels, self._products.dtype, slack=slack)
        copy = emit_byte_copy(self, x, copied)
        vector_size = self.runs * self._steps * self._lanes * self._values

        def emit_values(
            row: Any, column: Any, group: Any, first: Any, pixels: int, vectors: int
        ) -> list[Any]:
            def value_place(pixel: int, run: Any, step: Any) -> Any:
                down, right = self.run_offset(run)
                start = copied.address(
                    0, group, row * stride + down, (column + pixel) * stride + right
                )
                return start + step * self._values

            def weight_place(vector: int, run: Any, step: Any) -> Any:
                start = (group * self.group_vectors(self._lanes) + first + vector) * vector_size
                return start + (run * self._steps + step) * (self._lanes * self._values)

            def values_at(pixel: int, run: Any, step: Any, count: int) -> list[Any]:
                return self._products.load_values(copy, value_place(pixel, run, step), count)

            def weights_at(vector: int, run: Any, step: Any) -> list[Any]:
                return self._products.load_weights(weight, weight_place(vector, run, step))

            if ordered and (products := self._ordered(pixels, vectors)).fits:

                def addresses(run: Any) -> tuple[list[Any], list[Any]]:
                    rows = [copy[value_place(pixel, run, 0)] for pixel in range(pixels)]
                    places = [weight[weight_place(vector, run, 0)] for vector in range(vectors)]
                    return list(map(T.address_of, rows)), list(map(T.address_of, places))

                return self._emit_ordered(products, addresses)
            return self._emit_sums(values_at, weights_at, pixels, vectors)

        def finish(row: Any, column: Any, vector: Any, count: int, value: Any) -> None:
            place = Place(row * self.row_width + column, vector, count)
            code.emit(value, place, tuple(stage_constants), shortcut, y)

        self.emit_tiles(code, (schedule.pixels, schedule.channel_vectors), emit_values, finish)

    def _emit_ordered(
        self, products: OrderedProducts, addresses: Callable[[Any], tuple[list[Any], list[Any]]]
    ) -> list[Any]:
        """The same as :meth:`_emit_sums`, from the addresses of each run."""
        lanes, sums = self._lanes, products.pixels * products.registers * _REGISTER_SUMS
        buffer = T.alloc_buffer([sums], "int32")
        products.emit(*addresses(0), buffer, more=False)
        if self.runs > 1:
            with T.serial(self.runs - 1) as run:
                products.emit(*addresses(run + 1), buffer, more=True)
        return [load(buffer, start, lanes) for start in range(0, sums, lanes)]

    def _emit_sums(self, values_at: Any, weights_at: Any, pixels: int, vectors: int) -> list[Any]:
        """A vector of int32 sums for each pixel and vector of channels."""
        lanes = self._lanes
        sums = [[T.alloc_buffer([lanes], "int32") for _ in range(vectors)] for _ in range(pixels)]
        for row in sums:
            for buffer in row:
                store(buffer, 0, splat(0, "int32", lanes), lanes)

        chain = self._products.chain(self._largest_product)

        def add(runs: Iterable[Any], first: Any, count: int) -> None:
            """The products of ``count`` steps of each of the runs."""
            pending: list[tuple[Any, Any, list[Any]]] = []  # run, step, values of the pixels
            for run in runs:
                values = [values_at(pixel, run, first, count) for pixel in range(pixels)]
                for index, one in enumerate(zip(*values, strict=True)):
                    pending.append((run, first + index, list(one)))
                while len(pending) >= chain:
                    add_chain(pending[:chain])
                    del pending[:chain]
            if pending:
                add_chain(pending)

        def add_chain(places: list[tuple[Any, Any, list[Any]]]) -> None:
            for vector in range(vectors):
                weights = [weights_at(vector, run, step) for run, step, _ in places]
                for pixel in range(pixels):
                    buffer = sums[pixel][vector]
                    values = [one[pixel] for _, _, one in places]
                    steps = list(zip(values, weights, strict=True))
                    store(buffer, 0, self._products.emit_sum(load(buffer, 0, lanes), steps), lanes)

        unrolled = _UNROLLED_PICTURE if self._is_picture else _UNROLLED
        if self.runs * self._steps * pixels * vectors <= unrolled:
            add(range(self.runs), 0, self._steps)
        elif self._steps * pixels * vectors <= unrolled:
            with T.serial(self.runs) as run:
                add([run], 0, self._steps)
        else:
            block = _BLOCK // self._values
            full, rest = divmod(self._steps, block)
            with T.serial(self.runs) as run:
                with T.serial(full) as index:
                    add([run], index * block, block)
                if rest:
                    add([run], full * block, rest)
        return [load(buffer, 0, lanes) for row in sums for buffer in row]
