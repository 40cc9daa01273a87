"""Depthwise convolution of codes of any bits, bit-sliced, with any output stage.

Algebra. With the signed levels x = sum over j of 2^j x_j, x_j = +1 or -1, and weights likewise, the
product of two levels is the sum over i, j of 2^(i + j) w_i x_j, and w_i x_j is 2 a - 1 where a is 1
if the bits agree. Let E be the sum of 2^(i + j) a over all taps and plane pairs, T the number of
taps and K the product of the highest levels of weight and code. Then the sum is

  signed codes:   2 E - T K;
  unsigned codes: u = (x + top) / 2, so that it is E + (top * (sum of weights) - T K) / 2.

A border of the top level or of the unsigned 0 has bits like any pixel. The 0 of signed codes has
none: there a plane tells where pixels are, a is masked by it and counts twice, and taps in the
border add K, so that E' - T K is the sum.

Layout. Every bit position of a vector is a channel: the words xnor(w_i, x_j) are added by their
weights with carry-save adders into the bit planes of E. Quantize compares those with its bounds,
plane by plane, which gives the packed output itself. Other stages unpack them once to int32 lanes.
The input is first copied into its border, one plane after the other, columns sorted by their
remainder modulo the stride; then each tap of a row of outputs is one contiguous run of bytes, and a
vector may span several pixels; the last one of a row is moved back inside, where it repeats bytes.
Constants are rows of one pixel's bytes, repeated so that a vector may start anywhere in it.

Instructions, 3x3, one vector of channels (512 on AVX-512, 128 on NEON), W and A of 2 bits: 36 xor,
about 32 full adders (2 or 3), for 2-bit output 3 x 7 planes to compare (1 or 2): 120 or 175.
int8 multiply-adds take as long on NEON for the sums alone (144 and the loads for 128 channels), but
their sums still have to be compared and packed, 16 or 8 at a time.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import (
    MAX_BITS,
    Codes,
    Convolution,
    Format,
    Quantize,
    pack_bits,
    packed_bytes,
)
from bitat_deploy.operators.carry_save import (
    FullAdder,
    add_levels,
    add_weighted_words,
    full_adder,
)
from bitat_deploy.operators.convolution import ConvolutionOperator
from bitat_deploy.operators.output_stage import Place, StageCode
from bitat_deploy.operators.vector_code import (
    for_vectors,
    keep,
    load,
    load_bits,
    parts,
    splat,
    store,
)
from bitat_deploy.target import Target

_UNROLLED_WORDS = 64  # of a filter: with more, code gets long to compile


class _Counter:
    """A bit-sliced sum in memory, which a loop adds to; LLVM makes it registers."""

    def __init__(self, planes: int, size: int, adder: FullAdder) -> None:
        self._planes, self._size, self._adder = planes, size, adder
        self._buffer = T.alloc_buffer([planes * size], "uint8")
        for plane in range(planes):
            store(self._buffer, plane * size, splat(0, "uint8", size), size)

    def planes(self) -> list[Any]:
        """The planes, the lowest first."""
        starts = range(0, self._planes * self._size, self._size)
        return [keep(load(self._buffer, start, self._size)) for start in starts]

    def add(self, planes: list[Any]) -> None:
        """Add a bit-sliced number; the sum's planes are enough for it."""
        carry: Any = None
        for plane, value in enumerate(self.planes()):
            terms = [*planes[plane : plane + 1], *([] if carry is None else [carry])]
            if not terms:
                return
            if len(terms) == 2:
                total, carry = self._adder(value, *terms)
            else:
                total, carry = keep(value ^ terms[0]), keep(value & terms[0])
            store(self._buffer, plane * self._size, total, self._size)


class BitSerialDepthwiseConv(ConvolutionOperator):
    """Depthwise convolution: each channel of the codes has one filter of its own."""

    kind = "bit_serial_depthwise"

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All depthwise convolutions of codes with square filters and weights of 1 to 4 bits."""
        if not isinstance(layer, Convolution) or not (layer.depthwise and layer.square):
            return False
        if layer.weight_bits > MAX_BITS:
            return False
        return isinstance(formats[layer.input], Codes)

    @property
    def stage_code(self) -> StageCode:
        """The output stage of E."""
        layer = self.layer
        weight_sums = layer.weight.astype(np.int64).sum(axis=(1, 2, 3))
        all_taps = self._taps * self._product
        base = np.full(self.channels, -all_taps)
        if not self._codes.signed:
            base = (self._codes.top * weight_sums - all_taps) // 2
        factor = 2 if self._codes.signed and not self._has_mask else 1
        lanes = max(self.target.vector_bytes // 4, 8)
        return StageCode(
            layer.output, self.channels, lanes, self.shortcut_channels, "int32", factor, base[None]
        )

    @property
    def _codes(self) -> Codes:
        assert isinstance(self.source, Codes)
        return self.source

    @property
    def _has_mask(self) -> bool:
        """Whether the border is a level that the codes do not have."""
        return bool(self._codes.signed and self.layer.padding and self.layer.padding_level == 0)

    @property
    def _taps(self) -> int:
        return self.layer.kernel**2

    @property
    def _product(self) -> int:
        """K: the product of the highest levels."""
        return (2**self.layer.weight_bits - 1) * self._codes.top

    @property
    def _highest(self) -> int:
        """The highest E."""
        return self._taps * self._product * (2 if self._has_mask else 1)

    @property
    def _bound_planes(self) -> int:
        return (self._highest + 1).bit_length()

    @property
    def _pixel(self) -> int:
        """Bytes of a plane of a pixel."""
        return packed_bytes(self.channels)

    @property
    def _row_bytes(self) -> int:
        """Bytes of a plane of a row of the output."""
        return self.out_size[1] * self._pixel

    @property
    def _vector(self) -> int:
        """Bytes of a vector; not more than a row has."""
        return 1 << (min(self.target.vector_bytes, self._row_bytes).bit_length() - 1)

    @property
    def _constant_row(self) -> int:
        """Bytes of a row of constants: a vector starts at multiples of the divisor in a pixel."""
        return self._pixel - math.gcd(self._pixel, self._vector) + self._vector

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Inverted weights [taps * planes][row]; Quantize: inverted bounds [bounds * planes][row].

        Otherwise the stage's own follow.
        """
        layer = self.layer
        codes = (layer.weight.astype(np.int64) + 2**layer.weight_bits - 1) // 2
        taps = codes.reshape(self.channels, self._taps).T
        weights = self._rows(taps, layer.weight_bits)
        if not isinstance(layer.output, Quantize):
            return (weights, *self.stage_code.constants())
        stage = self.stage_code
        assert stage.base is not None
        thresholds = np.sort(layer.output.thresholds, axis=0).astype(np.int64)
        bounds = -((stage.base - thresholds) // stage.factor)
        return weights, self._rows(np.clip(bounds, 0, self._highest + 1), self._bound_planes)

    def _rows(self, numbers: NDArray[np.int64], planes: int) -> NDArray[np.uint8]:
        """Inverted planes of ``numbers`` [n, channels], each a row: uint8 [n * planes, row].

        A spare channel's bound is all ones, which E never reaches: its bit of the output is 0.
        """
        digits = (numbers[:, None, :] >> np.arange(planes)[:, None]) & 1
        packed = pack_bits(1 - digits.reshape(-1, self.channels))
        repeats = -(-self._constant_row // self._pixel)
        return np.ascontiguousarray(np.tile(packed, (1, repeats))[:, : self._constant_row])

    def emit(self, x: Any, *buffers: Any) -> None:
        """Copy, then row by row: E by vectors of channels, then what the stage makes of it."""
        weights, *stage_buffers = buffers[-1 - len(self.constants()) : -1]
        shortcut = buffers[0] if self.shortcut_channels else None
        y = buffers[-1]
        copy = self._emit_copy(x)
        stage = self.layer.output
        size, row_bytes = self._vector, self._row_bytes
        # About four operations for every tap and pair of bits: xor, and a full adder.
        words = self._taps * self.layer.weight_bits * self._codes.bits
        operations = 4 * words * self.out_size[0] * -(-row_bytes // self.target.vector_bytes)
        with parts(self.out_size[0], self.target, operations) as row:
            direct = isinstance(stage, Quantize) and stage.bits == 1
            planes = stage.bits if isinstance(stage, Quantize) else self._highest.bit_length()
            # Slack: the last vector of lanes may not end where its pixel does.
            length = 1 if direct else planes * row_bytes + self.stage_code.lanes // 8
            digits = T.alloc_buffer([length], "uint8")
            with T.serial(-(-row_bytes // size)) as step:
                start = T.min(step * size, row_bytes - size) if row_bytes % size else step * size
                within = T.floormod(start, self._pixel) if size % self._pixel else 0
                values = self._emit_agreements(copy, weights, row, start, within)
                if isinstance(stage, Quantize):
                    values = self._emit_codes(values, stage_buffers[0], within)
                if direct:
                    store(y, row * row_bytes + start, values[0], size)
                else:
                    for plane, value in enumerate(values[:planes]):
                        store(digits, plane * row_bytes + start, value, size)
            if isinstance(stage, Quantize):
                if not direct:
                    self._emit_interleaved(digits, y, row, stage.bits)
            else:
                self._emit_stage(digits, planes, tuple(stage_buffers), shortcut, y, row)

    @property
    def _phase_columns(self) -> int:
        """Columns of the copy that have the same remainder modulo the stride."""
        return -(-(self.source.shape[1] + 2 * self.layer.padding) // self.layer.stride)

    def _address(self, plane: int, row: Any, phase: Any, column: Any) -> Any:
        """Of a pixel in the copy: [plane][row][column % stride][column // stride][byte]."""
        rows = self.source.shape[0] + 2 * self.layer.padding
        line = (plane * rows + row) * self.layer.stride + phase
        return (line * self._phase_columns + column) * self._pixel

    def _emit_copy(self, x: Any) -> Any:
        """Copy x inside of its border, and after its planes the mask, if there is one."""
        height, width, _ = self.source.shape
        layer, bits, pixel = self.layer, self._codes.bits, self._pixel
        padding, stride = layer.padding, layer.stride
        size = self._address(bits + self._has_mask, 0, 0, 0)
        copy = T.alloc_buffer([size], "uint8")
        if padding:
            border = splat(0xFF if layer.padding_level else 0, "uint8", 1)
            with T.serial(size) as byte:
                T.buffer_store(copy, border, [byte])
        with parts(height, self.target) as row:
            for phase in range(stride):
                first = (phase - padding) % stride  # of x's columns
                with T.serial(len(range(first, width, stride))) as index:
                    column = index + (first + padding) // stride
                    start = (row * width + index * stride + first) * (bits * pixel)
                    for plane in range(bits + self._has_mask):
                        target = self._address(plane, row + padding, phase, column)
                        source = None if plane == bits else start + plane * pixel
                        self._emit_pixel(x, source, copy, target)
        return copy

    def _emit_pixel(self, source: Any, start: Any, copy: Any, target: Any) -> None:
        """A plane of a pixel from ``start`` of ``source``, or ones where there is no start."""

        def emit(offset: Any, count: int) -> None:
            ones = splat(0xFF, "uint8", count)
            value = ones if start is None else load(source, start + offset, count)
            store(copy, target + offset, value, count)

        for_vectors(self._pixel, self.target.vector_bytes, emit)

    def _emit_agreements(
        self, copy: Any, weights: Any, row: Any, start: Any, within: Any
    ) -> list[Any]:
        """Planes of E for a vector of a row of outputs."""
        kernel, adder = self.layer.kernel, full_adder(self.target)
        place = (copy, weights, row, start, within)
        words = self._taps * self.layer.weight_bits * self._codes.bits
        if words <= _UNROLLED_WORDS:
            taps = [word for i in range(kernel) for word in self._words_of_row(i, *place)]
            return add_levels(add_weighted_words(taps, adder), adder)
        total = _Counter(self._highest.bit_length(), self._vector, adder)
        with T.serial(kernel) as i:
            levels = add_weighted_words(self._words_of_row(i, *place), adder)
            total.add(add_levels(levels, adder))
        return total.planes()

    def _words_of_row(
        self, i: Any, copy: Any, weights: Any, row: Any, start: Any, within: Any
    ) -> Iterator[tuple[Any, int]]:
        """What row ``i`` of the filters adds to E: words and their levels."""
        layer, bits = self.layer, self._codes.bits
        for j in range(layer.kernel):
            column = j * layer.dilation
            line = row * layer.stride + i * layer.dilation

            def tap_bits(plane: int, line: Any = line, column: int = column) -> Any:
                phase, index = column % layer.stride, column // layer.stride
                return load(copy, self._address(plane, line, phase, index) + start, self._vector)

            digits = [tap_bits(plane) for plane in range(bits)]
            mask = tap_bits(bits) if self._has_mask else None
            for p in range(layer.weight_bits):
                offset = ((i * layer.kernel + j) * layer.weight_bits + p) * self._constant_row
                weight = load(weights, offset + within, self._vector)
                for q, digit in enumerate(digits):
                    if mask is None:
                        yield keep(weight ^ digit), p + q
                    else:
                        yield keep((weight ^ digit) & mask), p + q + 1
            if mask is not None:
                outside = keep(~mask)
                for level in range(self._product.bit_length()):
                    if self._product >> level & 1:
                        yield outside, level

    def _emit_codes(self, values: list[Any], bounds: Any, within: Any) -> list[Any]:
        """Planes of the number of bounds that E reaches."""
        assert isinstance(self.layer.output, Quantize)
        count, bits = len(self.layer.output.thresholds), self.layer.output.bits

        def reached(number: Any) -> Any:
            so_far: Any = None
            for plane in range(self._bound_planes):
                line = (number * self._bound_planes + plane) * self._constant_row
                inverted = load(bounds, line + within, self._vector)
                if plane >= len(values):
                    so_far = keep(so_far & inverted)
                elif so_far is None:
                    so_far = keep(values[plane] | inverted)
                else:
                    equal = keep(values[plane] ^ inverted)
                    so_far = keep(((values[plane] ^ so_far) & equal) ^ values[plane])
            return so_far

        if bits == 1:
            return [reached(0)]
        total = _Counter(bits, self._vector, full_adder(self.target))
        with T.serial(count) as number:
            total.add([reached(number)])
        return total.planes()

    def _emit_interleaved(self, digits: Any, y: Any, row: Any, bits: int) -> None:
        """Planes of a row to the packed layout, where a pixel's planes follow each other."""
        width, pixel = self.out_size[1], self._pixel
        with T.serial(width) as column:
            for plane in range(bits):
                source = plane * self._row_bytes + column * pixel
                target = ((row * width + column) * bits + plane) * pixel
                self._emit_pixel(digits, source, y, target)

    def _emit_stage(
        self,
        digits: Any,
        planes: int,
        constants: tuple[Any, ...],
        shortcut: Any,
        y: Any,
        row: Any,
    ) -> None:
        """Unpack E of a row of pixels, lane by lane a channel, and pass it to the stage."""
        stage, width = self.stage_code, self.out_size[1]
        lanes = stage.lanes
        full, left = divmod(self.channels, lanes)
        with T.serial(width) as column:

            def emit(vector: Any, count: int) -> None:
                offset = column * self._pixel + vector * (lanes // 8)
                value = self._emit_unpacked(digits, offset, planes, lanes)
                place = Place(row * width + column, vector, count)
                stage.emit(value, place, constants, shortcut, y)

            if full:
                with T.serial(full) as vector:
                    emit(vector, lanes)
            if left:
                emit(full, left)

    def _emit_unpacked(self, digits: Any, offset: Any, planes: int, lanes: int) -> Any:
        """E as int32; eight planes at a time in bytes."""
        total: Any = splat(0, "int32", lanes)
        for first in range(0, planes, 8):
            byte: Any = splat(0, "uint8", lanes)
            for plane in range(first, min(first + 8, planes)):
                bits = load_bits(digits, plane * self._row_bytes + offset, lanes // 8, self.target)
                weight = splat(1 << (plane - first), "uint8", lanes)
                byte = keep(byte + T.Select(bits, weight, splat(0, "uint8", lanes)))
            wide = T.cast(byte, f"int32x{lanes}")
            total = keep(total + (wide << splat(first, "int32", lanes)))
        return total
