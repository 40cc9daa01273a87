"""Threshold and pack float32: where a network's float part hands codes to the binarized one.

The tensor is NCHW, as ONNX has it, and the codes are NHWC, as ours are. Lanes are pixels, which
follow each other in memory: for eight channels, one after the other, a vector of pixels is
compared with the channel's thresholds, and the bits are put together to a vector of bytes, one
for each pixel. Only these bytes are transposed, which are 1/32 of the values.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import pack_codes, packed_bytes
from bitat_deploy.operators.operator import Operator, TensorSpec
from bitat_deploy.operators.vector_code import keep, load, splat, store, vector_dtype
from bitat_deploy.target import Target


@dataclass(frozen=True, eq=False)
class FloatQuantize(Operator):
    """Codes of a float32 tensor [1, channels of ``input_shape``, height, width].

    Channel c of the codes is the number of ``thresholds`` float32 [2^bits - 1, channels] that
    x[``channel``[c]] * ``sign``[c] is not below.
    """

    kind = "float_quantize"

    input_shape: tuple[int, int, int]
    channel: NDArray[np.int32]
    sign: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    target: Target

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return len(self.thresholds).bit_length()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Real numbers, NCHW."""
        return (TensorSpec((1, *self.input_shape), "float32"),)

    @property
    def output(self) -> TensorSpec:
        """Packed codes."""
        _, height, width = self.input_shape
        size = self.bits * packed_bytes(len(self.channel))
        return TensorSpec((1, height, width, size), "uint8")

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Channels read, their signs, and thresholds [channels, 2^bits - 1]."""
        return self.channel, self.sign, np.ascontiguousarray(self.thresholds.T)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The same in plain numpy."""
        turned = x[:, self.channel].transpose(0, 2, 3, 1) * self.sign
        codes = (turned[..., None, :] >= self.thresholds).sum(axis=-2)
        return pack_codes(codes, self.bits)

    def emit(self, x: Any, channel: Any, sign: Any, thresholds: Any, y: Any) -> None:
        """Byte by byte of the codes' channels, vector by vector of pixels."""
        _, height, width = self.input_shape
        pixels, channels = height * width, len(self.channel)
        lanes = self.target.vector_bytes // 4
        full, rest = divmod(channels, 8)

        def emit_byte(byte: Any, count: int) -> None:
            if pixels >= lanes:
                with T.serial(pixels // lanes) as block:
                    self._emit_pixels(x, channel, sign, thresholds, y, byte, count, block, lanes)
            with T.serial(pixels % lanes) as pixel:
                last = pixels // lanes * lanes + pixel
                self._emit_pixels(x, channel, sign, thresholds, y, byte, count, last, 1)

        if full:
            with T.serial(full) as byte:
                emit_byte(byte, 8)
        if rest:
            emit_byte(full, rest)

    def _emit_pixels(
        self,
        x: Any,
        channel: Any,
        sign: Any,
        thresholds: Any,
        y: Any,
        byte: Any,
        count: int,
        block: Any,
        lanes: int,
    ) -> None:
        """``count`` channels of ``lanes`` pixels."""
        _, height, width = self.input_shape
        size, bits, steps = packed_bytes(len(self.channel)), self.bits, len(self.thresholds)
        bytes_dtype = vector_dtype("uint8", lanes)
        planes = [splat(0, "uint8", lanes) for _ in range(bits)]
        for bit in range(count):
            which = byte * 8 + bit
            values = load(x, channel[which] * (height * width) + block * lanes, lanes)
            turned = keep(values * _spread(sign[which], lanes))
            code = splat(0, "uint8", lanes)
            for step in range(steps):
                threshold = _spread(thresholds[which * steps + step], lanes)
                code = code + T.cast(turned >= threshold, bytes_dtype)
            code = keep(code)
            for plane in range(bits):
                digit = (code >> splat(plane, "uint8", lanes)) & splat(1, "uint8", lanes)
                planes[plane] = keep(planes[plane] | (digit << splat(bit, "uint8", lanes)))
        for plane in range(bits):
            column = T.alloc_buffer([lanes], "uint8")
            store(column, 0, planes[plane], lanes)
            for lane in range(lanes):
                pixel = block * lanes + lane
                T.buffer_store(y, column[lane], [(pixel * bits + plane) * size + byte])


def _spread(value: Any, lanes: int) -> Any:
    return T.broadcast(value, lanes) if lanes > 1 else value
