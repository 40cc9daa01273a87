"""Threshold and pack: integers in, packed bits out.

bit = (value >= threshold), channel by channel. Lanes are channels, compared in int32; a comparison
gives one bit per lane, which is the packed output.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import pack_bits, packed_bytes
from bitat_deploy.operators.operator import Operator, TensorSpec
from bitat_deploy.operators.vector_code import load, splat, store_mask
from bitat_deploy.target import Target


@dataclass(frozen=True, eq=False)
class ThresholdPack(Operator):
    """Threshold a tensor [1, height, width, channels].

    ``dtype`` is int32, int16, int8 or uint8.
    """

    kind = "threshold_pack"

    height: int
    width: int
    dtype: str
    threshold: NDArray[np.int32]
    target: Target

    @property
    def channels(self) -> int:
        """Channels of the tensor."""
        return self.threshold.shape[0]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Integers."""
        return (TensorSpec((1, self.height, self.width, self.channels), self.dtype),)

    @property
    def output(self) -> TensorSpec:
        """Packed activations."""
        return TensorSpec((1, self.height, self.width, packed_bytes(self.channels)), "uint8")

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Thresholds [channels]."""
        return (self.threshold.astype(np.int32),)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The same in plain numpy."""
        return pack_bits(x.astype(np.int64) >= self.threshold)

    def emit(self, x: Any, threshold: Any, y: Any) -> None:
        """Pixel by pixel: vectors of channels, then bytes, then the bits of the last byte."""
        lanes = max(self.target.vector_bytes // 4, 8)
        channels, row = self.channels, packed_bytes(self.channels)
        with T.serial(self.height * self.width) as pixel:

            def mask(channel: Any, count: int) -> Any:
                dtype = f"int32x{count}" if count > 1 else "int32"
                values = T.cast(load(x, pixel * channels + channel, count), dtype)
                return values >= load(threshold, channel, count)

            if channels >= lanes:
                with T.serial(channels // lanes) as part:
                    offset = pixel * row + part * (lanes // 8)
                    store_mask(y, offset, mask(part * lanes, lanes), lanes, lanes // 8)
            done = channels // lanes * lanes
            while channels - done >= 8:
                store_mask(y, pixel * row + done // 8, mask(done, 8), 8, 1)
                done += 8
            if channels > done:
                last = splat(0, "uint8", 1)
                for bit in range(channels - done):
                    digit = T.cast(mask(done + bit, 1), "uint8")
                    last = last | (digit << splat(bit, "uint8", 1))
                T.buffer_store(y, last, [pixel * row + done // 8])
