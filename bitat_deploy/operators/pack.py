"""Quantize and pack: the int16 stream in, packed codes out.

The code is the number of thresholds t with value >= t, channel by channel. Lanes are channels; a
comparison gives one bit per lane, which for codes of one bit is the packed output. Of more bits
the comparisons are added up, and each bit of the sums is a plane. Values are compared in int16
where the thresholds allow it, else in int32.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Format, Quantize, QuantizeStream, pack_codes, packed_bytes
from bitat_deploy.operators.operator import Operator
from bitat_deploy.operators.vector_code import keep, load, parts, splat, store_mask, vector_dtype
from bitat_deploy.target import Target


class ThresholdPack(Operator):
    """Quantize a stream [1, height, width, channels] and pack its codes."""

    kind = "threshold_pack"
    layer: QuantizeStream

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All quantizers of a stream to codes."""
        return isinstance(layer, QuantizeStream) and isinstance(layer.output, Quantize)

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Thresholds [2^bits - 1, channels]."""
        thresholds = self._thresholds
        if self._compared == "int16":  # what is lower is reached by every value, as is the lowest
            thresholds = np.maximum(thresholds, np.iinfo(np.int16).min)
        return (thresholds.astype(self._compared),)

    def _workload_details(self) -> tuple[str, ...]:
        return (f"bits={self._bits}", f"compared={self._compared}")

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The same in plain numpy."""
        codes = (x[..., None, :] >= self._thresholds).sum(axis=-2)
        return pack_codes(codes.astype(np.uint8), self._bits)

    @property
    def _stage(self) -> Quantize:
        assert isinstance(self.layer.output, Quantize)
        return self.layer.output

    @property
    def _thresholds(self) -> NDArray[np.int32]:
        return self._stage.thresholds

    @property
    def _bits(self) -> int:
        return self._stage.bits

    @property
    def _compared(self) -> str:
        """Numpy's name of the type that values are compared in: int16 where thresholds allow."""
        return "int16" if int(self._thresholds.max()) <= np.iinfo(np.int16).max else "int32"

    def emit(self, x: Any, thresholds: Any, y: Any) -> None:
        """Pixel by pixel: vectors of channels, then bytes, then the bits of the last byte."""
        lanes = max(self.target.vector_bytes // np.dtype(self._compared).itemsize, 16)
        channels, plane_bytes = self.channels, packed_bytes(self.channels)
        whole = channels // lanes * lanes
        with parts(self.height, self.target) as row, T.serial(self.width) as column:
            pixel = row * self.width + column
            start = pixel * (self._bits * plane_bytes)

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
            for level in range(len(self._thresholds))
        ]
        if self._bits == 1:
            return reached
        code = T.cast(reached[0], vector_dtype(self._compared, count))
        for mask in reached[1:]:
            code = keep(code + T.cast(mask, vector_dtype(self._compared, count)))
        zero = splat(0, self._compared, count)
        digits = (splat(1 << plane, self._compared, count) for plane in range(self._bits))
        return [code & digit != zero for digit in digits]
