"""Unpack: packed codes in, their levels out, as int8 or float32.

Lanes are channels. The bits of a plane become the lanes of a vector (a mask register on AVX-512,
a comparison with powers of two elsewhere); planes are shifted and added in int8. The level of a
signed code u of n bits is 2 u - (2^n - 1).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import packed_bytes, unpack_codes
from bitat_deploy.operators.operator import Operator, TensorSpec
from bitat_deploy.operators.vector_code import (
    for_vectors,
    keep,
    load_bits,
    parts,
    splat,
    store,
    vector_dtype,
)
from bitat_deploy.target import Target


@dataclass(frozen=True, eq=False)
class Unpack(Operator):
    """Levels of packed codes [1, height, width, bits * ceil(channels / 8)].

    Writes ``dtype``, int8 or float32, [1, height, width, channels].
    """

    kind = "unpack"

    height: int
    width: int
    channels: int
    bits: int
    signed: bool
    dtype: str
    target: Target

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Packed codes."""
        pixel = self.bits * packed_bytes(self.channels)
        return (TensorSpec((1, self.height, self.width, pixel), "uint8"),)

    @property
    def output(self) -> TensorSpec:
        """Levels."""
        return TensorSpec((1, self.height, self.width, self.channels), self.dtype)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The same in plain numpy."""
        levels = unpack_codes(x, self.channels, self.bits).astype(self.dtype)
        return 2 * levels - self._top if self.signed else levels

    def _workload_details(self) -> tuple[str, ...]:
        return (f"bits={self.bits}", "signed" if self.signed else "unsigned")

    @property
    def _top(self) -> int:
        return 2**self.bits - 1

    def emit(self, x: Any, y: Any) -> None:
        """Pixel by pixel: vectors of whole bytes of channels, then the channels of the last."""
        whole, rest = divmod(self.channels, 8)
        plane_bytes = packed_bytes(self.channels)
        with parts(self.height, self.target) as row, T.serial(self.width) as column:
            pixel = row * self.width + column
            start = pixel * (self.bits * plane_bytes)

            def emit(offset: Any, size: int) -> None:
                levels = self._emit_levels(x, start + offset, size)
                store(y, pixel * self.channels + offset * 8, levels, 8 * size)

            for_vectors(whole, self.target.vector_bytes // 8, emit)
            if rest:
                last = T.alloc_buffer([8], self.dtype)
                store(last, 0, self._emit_levels(x, start + whole, 1), 8)
                for channel in range(rest):
                    index = pixel * self.channels + whole * 8 + channel
                    T.buffer_store(y, last[channel], [index])

    def _emit_levels(self, x: Any, start: Any, size: int) -> Any:
        """Levels of the channels of ``size`` bytes of each plane."""
        lanes = 8 * size
        code: Any = None
        for plane in range(self.bits):
            digit = load_bits(x, start + plane * packed_bytes(self.channels), size, self.target)
            term = T.Select(digit, splat(1 << plane, "int8", lanes), splat(0, "int8", lanes))
            code = term if code is None else keep(code + term)
        if self.signed:
            code = code + code - splat(self._top, "int8", lanes)
        return T.cast(code, vector_dtype(self.dtype, lanes))
