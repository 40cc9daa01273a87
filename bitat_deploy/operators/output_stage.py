"""The output stages of the network format, fused into convolutions: what follows their sums.

A convolution's code has a *value* for each of ``lanes`` consecutive output channels of a pixel, in
one vector, with sum = factor * value + base: counts of bits are such values. :class:`StageCode`
turns it into the output and stores that.

  Quantize: value >= bound, one bound for each threshold, with bound = ceil((threshold - base) /
  factor). The bounds of a channel rise, and the code is how many are reached; its bit p flips at
  bounds number 2^p, 2 * 2^p, 3 * 2^p, ..., so plane p is the xor of the comparisons with those.
  Requantize: one multiplication, two additions and a shift in int32 lanes; saturation while
  narrowing to int16 or bytes. A clip costs a minimum and a maximum, as its offset is in the base,
  and saves the saturation where it is tight (:mod:`.clipped`).
  RPReLU is a second multiplication, two additions and a select.
  Rescale: float32 lanes, one multiplication, a minimum and a maximum, and one addition that rounds:
  1.5 * 2^23 has no room for fractions, so its lowest bits are then the rounded number. The clip
  comes first, which changes nothing and stands between multiplication and addition, which LLVM
  would make one with one rounding.
  Sums: the int32 sums themselves.

``base`` may differ between classes of pixels, because a border of zeros has no bits: constants are
[class][row][channel], and a pixel's class only changes where they are read from.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import (
    SATURATION,
    Clip,
    OutputStage,
    Quantize,
    Requantize,
    Rescale,
    packed_bytes,
    rounding,
)
from bitat_deploy.operators.clipped import without_saturation
from bitat_deploy.operators.packed_masks import store_masks
from bitat_deploy.operators.vector_code import keep, load, splat, store, store_mask, vector_dtype

_ROUNDS = 1.5 * 2**23
_ROUNDS_BITS = int(np.float32(_ROUNDS).view(np.int32))


@dataclass(frozen=True)
class Place:
    """Where a vector's output goes.

    ``pixel`` counts the output's pixels, ``vector`` its vectors of channels: numbers or
    expressions; ``count`` of the vector's channels are real, and ``pixel_class`` tells the base.
    """

    pixel: Any
    vector: Any
    count: int
    pixel_class: Any = 0


@dataclass(frozen=True, eq=False)
class StageCode:
    """The output stage of ``channels`` output channels, ``lanes`` (8 or more, a power of 2) a step.

    ``shortcut_channels`` are those of the stage's shortcut, 0 where it has none. ``value_dtype`` is
    the values' type, int32 or a narrower one whose largest number no value reaches. ``base`` int
    [classes, channels]; None is 0. ``largest`` is the magnitude of sums and of base at most; None:
    not known.
    """

    stage: OutputStage
    channels: int
    lanes: int
    shortcut_channels: int = 0
    value_dtype: str = "int32"
    factor: int = 1
    base: NDArray[np.int64] | None = None
    largest: int | None = None

    @property
    def vectors(self) -> int:
        """Vectors of channels."""
        return -(-self.channels // self.lanes)

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Up to two arrays [classes][rows][vectors * lanes], flat: what depends on base, and not.

        Quantize: bounds. Requantize: base, if there is any; multiplier, bias, RPReLU's three and
        the clip's reach.
        Rescale: base with its bias; multiplier in float32. Sums: base, if there is any.
        """
        base = self._base
        if isinstance(self.stage, Quantize):
            limits = np.iinfo(self.value_dtype)
            thresholds = np.sort(self.stage.thresholds, axis=0).astype(np.int64)
            bounds = -((base[:, None, :] - thresholds) // self.factor)
            never = limits.max  # a spare channel's bit is 0
            clipped = np.clip(bounds, limits.min, limits.max)
            return (self._padded(clipped, never).astype(self.value_dtype),)
        arrays = []
        if self._has_base:
            arrays.append(self._padded(base).astype(np.int32))
        if isinstance(self.stage, Rescale):
            arrays.append(self._padded(self.stage.multiplier).astype(np.float32))
        if (stage := self._requantize) is not None:
            rows: list[NDArray[Any]] = [stage.multiplier, stage.bias]
            if stage.activation is not None:
                activation = stage.activation
                rows += [activation.before, activation.slope, activation.after]
            if stage.clip is not None:
                rows.append(stage.clip.reach)
            arrays.append(self._padded(np.stack([row.astype(np.int32) for row in rows])))
        return tuple(arrays)

    def emit(
        self, value: Any, place: Place, constants: tuple[Any, ...], shortcut: Any, y: Any
    ) -> None:
        """Store the output of a vector of values.

        ``constants`` are the buffers of :meth:`constants`, ``shortcut`` is the buffer of the
        stream, or None; all are flat.
        """
        if isinstance(self.stage, Quantize):
            self._emit_codes(keep(value), place, constants[0], y)
            return
        total = self._emit_sum(value, place, constants)
        if isinstance(self.stage, Requantize):
            total = self._emit_requantize(total, place, constants[-1], shortcut)
        elif isinstance(self.stage, Rescale):
            total = self._emit_rescale(total, place, constants[-1])
        self._emit_store(y, place.pixel * self.channels + place.vector * self.lanes, total, place)

    @property
    def _has_base(self) -> bool:
        return self.base is not None or self._added is not None

    @property
    def _clip(self) -> Clip | None:
        return None if self._requantize is None else self._requantize.clip

    @cached_property
    def _tight(self) -> Requantize | None:
        """The stage with a clip that leaves nothing to saturate."""
        if not isinstance(self.stage, Requantize) or self.largest is None:
            return None
        return without_saturation(self.stage, self.largest)

    @property
    def _requantize(self) -> Requantize | None:
        if not isinstance(self.stage, Requantize):
            return None
        return self._tight or self.stage

    @property
    def _added(self) -> NDArray[np.int32] | None:
        """What the stage adds to the sums first."""
        if isinstance(self.stage, Rescale):
            return self.stage.bias
        return None if self._clip is None else self._clip.offset

    @cached_property
    def _base(self) -> NDArray[np.int64]:
        """Of each class and channel, with what the stage adds."""
        base = np.zeros((1, self.channels), np.int64)
        if self.base is not None:
            base = self.base.astype(np.int64)
        return base if self._added is None else base + self._added

    def _padded(self, rows: NDArray[Any], value: int = 0) -> NDArray[Any]:
        """Channels filled up to whole vectors, flat."""
        spare = self.vectors * self.lanes - self.channels
        space = [(0, 0)] * (rows.ndim - 1) + [(0, spare)]
        return np.pad(rows, space, constant_values=value).ravel()

    def _constant(self, buffer: Any, row: Any, place: Place) -> Any:
        stride = self.vectors * self.lanes
        return load(buffer, row * stride + place.vector * self.lanes, self.lanes)

    def emit_all(
        self,
        values: list[Any],
        place: Place,
        constants: tuple[Any, ...],
        shortcut: Any,
        y: Any,
    ) -> None:
        """The same of vectors of values that follow each other, on 64-bit ARM packed together.

        The place is the first one's; its vector is a number where spare channels may be among
        them.
        """
        real = self.lanes * len(values)
        if isinstance(place.vector, int):
            real = min(real, self.channels - place.vector * self.lanes)
        places = [
            replace(place, vector=place.vector + i, count=min(self.lanes, real - i * self.lanes))
            for i in range(-(-real // self.lanes))
        ]
        pairs = list(zip(values, places, strict=False))
        if not isinstance(self.stage, Quantize):
            for value, one in pairs:
                self.emit(value, one, constants, shortcut, y)
            return
        masks = [self._emit_masks(keep(value), one, constants[0]) for value, one in pairs]
        for plane, of_plane in enumerate(zip(*masks, strict=True)):
            start = self._code_offset(place, plane)
            store_masks(y, [start], of_plane, packed_bytes(real))

    def _emit_codes(self, value: Any, place: Place, bounds: Any, y: Any) -> None:
        for plane, mask in enumerate(self._emit_masks(value, place, bounds)):
            size = packed_bytes(place.count)
            store_mask(y, self._code_offset(place, plane), mask, self.lanes, size)

    def _code_offset(self, place: Place, plane: int) -> Any:
        """Where a vector's codes go."""
        assert isinstance(self.stage, Quantize)
        start = (place.pixel * self.stage.bits + plane) * packed_bytes(self.channels)
        return start + place.vector * (self.lanes // 8)

    def _emit_masks(self, value: Any, place: Place, bounds: Any) -> list[Any]:
        """Planes of the codes of a vector of values: booleans."""
        assert isinstance(self.stage, Quantize)
        count = len(self.stage.thresholds)
        reached = [
            value >= self._constant(bounds, place.pixel_class * count + row, place)
            for row in range(count)
        ]
        masks = []
        for plane in range(self.stage.bits):
            digits = reached[(1 << plane) - 1 :: 1 << plane]
            mask = digits[0]
            if len(digits) > 1:
                mask = T.cast(mask, f"uint1x{self.lanes}")
                for digit in digits[1:]:
                    mask = mask ^ T.cast(digit, f"uint1x{self.lanes}")
                mask = T.cast(mask, f"boolx{self.lanes}")
            masks.append(mask)
        return masks

    def _emit_sum(self, value: Any, place: Place, constants: tuple[Any, ...]) -> Any:
        total = T.cast(value, vector_dtype("int32", self.lanes))
        if self.factor != 1:
            total = total * splat(self.factor, "int32", self.lanes)
        if self._has_base:
            total = total + self._constant(constants[0], place.pixel_class, place)
        return keep(total)

    def _emit_requantize(self, total: Any, place: Place, constants: Any, shortcut: Any) -> Any:
        assert isinstance(self.stage, Requantize)
        lanes, activation = self.lanes, self.stage.activation
        if self.stage.clip is not None:
            reach = self._constant(constants, 2 if activation is None else 5, place)
            total = keep(T.min(T.max(total, splat(0, "int32", lanes)), reach))
        multiplier, bias = (self._constant(constants, row, place) for row in range(2))
        y = (total * multiplier + bias) >> splat(self.stage.shift, "int32", lanes)
        if self.stage.shortcut is not None:
            y = y + T.cast(self._load_shortcut(shortcut, place), vector_dtype("int32", lanes))
        if self._tight is None:
            y = saturated(keep(y), lanes, self.stage.dtype)
        if activation is not None:
            before, slope, after = (self._constant(constants, row, place) for row in range(2, 5))
            shift = activation.slope_shift
            t = keep(keep(y) + before)
            half = splat(rounding(shift), "int32", lanes)
            below = (t * slope + half) >> splat(shift, "int32", lanes)
            t = T.Select(t < splat(0, "int32", lanes), below, t)
            y = saturated(keep(t + after), lanes)
        return T.cast(y, vector_dtype(self.stage.dtype, lanes))

    def _emit_rescale(self, total: Any, place: Place, multipliers: Any) -> Any:
        assert isinstance(self.stage, Rescale)
        lanes, stage = self.lanes, self.stage
        real = T.cast(total, vector_dtype("float32", lanes))
        real = keep(real * self._constant(multipliers, 0, place))
        low, high = stage.low - stage.zero, stage.high - stage.zero
        return T.cast(rounded(real, low, high, stage.zero, lanes), vector_dtype("uint8", lanes))

    def _load_shortcut(self, shortcut: Any, place: Place) -> Any:
        """The shortcut's channels of a vector, repeated where it has fewer than the output."""
        lanes, channels = self.lanes, self.shortcut_channels
        pixel, first = place.pixel * channels, place.vector * lanes
        if channels % lanes == 0:
            start = first if channels == self.channels else T.floormod(first, channels)
            return load(shortcut, pixel + start, lanes)
        gathered = T.alloc_buffer([lanes], "int16")
        if channels == self.channels:
            for start, size in _pieces(place.count):
                store(gathered, start, load(shortcut, pixel + first + start, size), size)
        else:
            for lane in range(place.count):
                channel = T.floormod(first + lane, channels)
                T.buffer_store(gathered, shortcut[pixel + channel], [lane])
        return load(gathered, 0, lanes)

    def _emit_store(self, y: Any, offset: Any, value: Any, place: Place) -> None:
        """Store the first ``place.count`` lanes."""
        if place.count == self.lanes:
            store(y, offset, value, self.lanes)
            return
        value_buffer = T.alloc_buffer([self.lanes], str(y.dtype))
        store(value_buffer, 0, value, self.lanes)
        for start, size in _pieces(place.count):
            store(y, offset + start, load(value_buffer, start, size), size)


def rounded(value: Any, low: int, high: int, added: int, lanes: int) -> Any:
    """float32 from ``low`` to ``high`` rounded, halves to the even one, ``added`` on top: int32."""
    lowest, highest, rounds = (splat(one, "float32", lanes) for one in (low, high, _ROUNDS))
    whole = keep(T.min(T.max(value, lowest), highest) + rounds)
    bits = T.reinterpret(vector_dtype("int32", lanes), whole)
    return bits - splat(_ROUNDS_BITS - added, "int32", lanes)


def saturated(value: Any, lanes: int, dtype: str = "int16") -> Any:
    """int32 within a type: LLVM makes it one instruction with the narrowing that follows."""
    low, high = (splat(limit, "int32", lanes) for limit in SATURATION[dtype])
    return T.min(T.max(value, low), high)


def _pieces(count: int) -> list[tuple[int, int]]:
    """(start, size) that cover ``count``, sizes powers of 2 that fall."""
    pieces, start = [], 0
    while start < count:
        size = 1 << ((count - start).bit_length() - 1)
        pieces.append((start, size))
        start += size
    return pieces
