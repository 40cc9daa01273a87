"""Threshold and pack float32: where a network's float part hands codes to the binarized one.

The tensor is NCHW, as ONNX has it, and the codes are NHWC, as ours are. Lanes are pixels, which
follow each other in memory: for eight channels, one after the other, a vector of pixels is
compared with the channel's thresholds, and the bits are put together to a vector of bytes, one
for each pixel. Only these bytes are transposed, which are 1/32 of the values.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Format, QuantizeFloat, pack_codes, packed_bytes
from bitat_deploy.operators.operator import Operator, TensorSpec, tensor_spec
from bitat_deploy.operators.vector_code import keep, load, splat, store, vector_dtype
from bitat_deploy.target import Target


class FloatThresholdPack(Operator):
    """Packed codes of a float32 tensor [1, channels read, height, width]."""

    kind = "float_quantize"
    layer: QuantizeFloat

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All quantizers of a float32 tensor."""
        return isinstance(layer, QuantizeFloat)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Real numbers, NCHW."""
        return (TensorSpec((1, *self.layer.input_shape), "float32"),)

    @property
    def output(self) -> TensorSpec:
        """Packed codes."""
        return tensor_spec(self.layer.codes)

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Channels read, their signs, and thresholds [channels, 2^bits - 1]."""
        layer = self.layer
        return layer.channel, layer.sign, np.ascontiguousarray(layer.thresholds.T)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The same in plain numpy."""
        turned = x[:, self.layer.channel].transpose(0, 2, 3, 1) * self.layer.sign
        codes = (turned[..., None, :] >= self.layer.thresholds).sum(axis=-2)
        return pack_codes(codes, self.layer.bits)

    def emit(self, x: Any, channel: Any, sign: Any, thresholds: Any, y: Any) -> None:
        """Byte by byte of the codes' channels, vector by vector of pixels."""
        _, height, width = self.layer.input_shape
        pixels, channels = height * width, len(self.layer.channel)
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
        layer = self.layer
        _, height, width = layer.input_shape
        size, bits, steps = packed_bytes(len(layer.channel)), layer.bits, len(layer.thresholds)
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
