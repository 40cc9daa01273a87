"""Quantize and pack: numbers in, packed codes out.

The code is the number of thresholds t with value >= t, channel by channel. Lanes are channels; a
comparison gives one bit per lane, which for codes of one bit is the packed output. Of more bits
the comparisons are added up, and each bit of the sums is a plane. float32 is compared in float32
(NaN is below every threshold), integers in int16 where values and thresholds allow, else in int32.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import pack_codes, packed_bytes
from bitat_deploy.operators.operator import Operator, TensorSpec
from bitat_deploy.operators.vector_code import (
    keep,
    load,
    parts,
    splat,
    store_mask,
    vector_dtype,
)
from bitat_deploy.target import Target


@dataclass(frozen=True, eq=False)
class ThresholdPack(Operator):
    """Quantize a tensor [1, height, width, channels].

    ``dtype`` is int32, int16, int8, uint8 or float32; ``thresholds`` [2^bits - 1, channels] are
    int32 or, for float32, float32.
    """

    kind = "threshold_pack"

    height: int
    width: int
    dtype: str
    thresholds: NDArray[Any]
    target: Target

    @property
    def channels(self) -> int:
        """Channels of the tensor."""
        return self.thresholds.shape[1]

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return len(self.thresholds).bit_length()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Numbers."""
        return (TensorSpec((1, self.height, self.width, self.channels), self.dtype),)

    @property
    def output(self) -> TensorSpec:
        """Packed codes."""
        pixel = self.bits * packed_bytes(self.channels)
        return TensorSpec((1, self.height, self.width, pixel), "uint8")

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Thresholds [2^bits - 1, channels]."""
        thresholds = self.thresholds
        if self._compared == "int16":  # what is lower is reached by every value, as is the lowest
            thresholds = np.maximum(thresholds, np.iinfo(np.int16).min)
        return (thresholds.astype(self._compared),)

    def _workload_details(self) -> tuple[str, ...]:
        return (f"bits={self.bits}", f"compared={self._compared}")

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The same in plain numpy."""
        codes = (x[..., None, :] >= self.thresholds).sum(axis=-2)
        return pack_codes(codes.astype(np.uint8), self.bits)

    @property
    def _compared(self) -> str:
        """Numpy's name of the type that values are compared in: int16 where all fit."""
        if self.dtype == "float32":
            return "float32"
        small = self.dtype != "int32" and int(self.thresholds.max()) <= np.iinfo(np.int16).max
        return "int16" if small else "int32"

    def emit(self, x: Any, thresholds: Any, y: Any) -> None:
        """Pixel by pixel: vectors of channels, then bytes, then the bits of the last byte."""
        lanes = max(self.target.vector_bytes // np.dtype(self._compared).itemsize, 16)
        channels, plane_bytes = self.channels, packed_bytes(self.channels)
        whole = channels // lanes * lanes
        with parts(self.height, self.target) as row, T.serial(self.width) as column:
            pixel = row * self.width + column
            start = pixel * (self.bits * plane_bytes)

            def emit(channel: Any, offset: Any, count: int) -> None:
                masks = self._emit_planes(x, thresholds, pixel * channels, channel, count)
                for plane, mask in enumerate(masks):
                    store_mask(y, offset + plane * plane_bytes, mask, count, count // 8)

            if whole:
                with T.serial(channels // lanes) as part:
                    emit(part * lanes, start + part * (lanes // 8), lanes)
            for channel in range(whole, channels // 8 * 8, 8):
                emit(channel, start + channel // 8, 8)
            rest = range(channels // 8 * 8, channels)
            digits = [self._emit_planes(x, thresholds, pixel * channels, c, 1) for c in rest]
            for plane, masks in enumerate(zip(*digits, strict=True)):
                last = splat(0, "uint8", 1)
                for bit, mask in enumerate(masks):
                    last = last | (T.cast(mask, "uint8") << splat(bit, "uint8", 1))
                T.buffer_store(y, last, [start + plane * plane_bytes + channels // 8])

    def _emit_planes(
        self, x: Any, thresholds: Any, pixel: Any, channel: Any, count: int
    ) -> list[Any]:
        """One boolean for each of ``count`` channels and each plane."""
        value = keep(T.cast(load(x, pixel + channel, count), vector_dtype(self._compared, count)))
        reached = [
            value >= load(thresholds, level * self.channels + channel, count)
            for level in range(len(self.thresholds))
        ]
        if self.bits == 1:
            return reached
        counted = "int16" if self._compared == "int16" else "int32"
        code = T.cast(reached[0], vector_dtype(counted, count))
        for mask in reached[1:]:
            code = keep(code + T.cast(mask, vector_dtype(counted, count)))
        zero = splat(0, counted, count)
        return [code & splat(1 << plane, counted, count) != zero for plane in range(self.bits)]
