"""Maximum of packed codes over windows: packed codes in, packed codes out.

Algebra. Levels grow with codes, signed or not, so the largest code is the largest level. Plane by
plane from the highest, a bit of the maximum is the or of that bit of all candidates; those that
lack a bit of the maximum drop out. Of 1-bit codes it is the or of the window. A
pixel outside of the picture is replaced by the nearest one inside, which belongs to the window as
well, because the padding is less than the kernel: nothing is copied into a border.

Layout. Every bit position of a vector is a channel, as in the depthwise convolution; a vector is of
one plane of one pixel.

Instructions for a window of t pixels and n planes, one vector of channels: t n loads, (t - 1) n or,
and where n > 1 (n - 1) t or-not and (2 n - 3) t and to drop candidates: 3x3 and 2 bits take 52.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Format, MaxPool, pack_codes, packed_bytes, unpack_codes
from bitat_deploy.operators.operator import Operator
from bitat_deploy.operators.vector_code import for_vectors, keep, load, parts, store
from bitat_deploy.target import Target


class MaxPoolCodes(Operator):
    """Maximum of codes at a fixed shape.

    Reads and writes packed [1, height, width, bits * ceil(channels / 8)].
    """

    kind = "max_pool_codes"
    layer: MaxPool

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All max pools."""
        return isinstance(layer, MaxPool)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """Unpack, and the maximum in plain numpy."""
        codes = unpack_codes(x, self.channels, self.source.bits)
        border = (self.layer.padding, self.layer.padding)
        padded = np.pad(codes, ((0, 0), border, border, (0, 0)))
        window = (self.layer.kernel, self.layer.kernel)
        windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(1, 2))
        maxima = windows[:, :: self.layer.stride, :: self.layer.stride].max(axis=(4, 5))
        return pack_codes(maxima.astype(np.uint8), self.source.bits)

    def _workload_details(self) -> tuple[str, ...]:
        layer = self.layer
        details = (f"bits={self.source.bits}", f"kernel={layer.kernel}", f"stride={layer.stride}")
        return (*details, f"padding={layer.padding}") if layer.padding else details

    @property
    def _pixel(self) -> int:
        return self.output.shape[-1]

    def emit(self, x: Any, y: Any) -> None:
        """Pixel by pixel of the output, vectors of channels."""
        _, height, width, _ = self.output.shape
        window = range(self.layer.kernel)
        with parts(height, self.target) as row, T.serial(width) as column:
            rows = [self._inside(row, i, self.height) for i in window]
            columns = [self._inside(column, j, self.width) for j in window]
            pixels = [(i * self.width + j) * self._pixel for i in rows for j in columns]

            def emit(offset: Any, size: int) -> None:
                planes = self._emit_maximum(x, [pixel + offset for pixel in pixels], size)
                start = (row * width + column) * self._pixel + offset
                for plane, value in enumerate(planes):
                    store(y, start + plane * packed_bytes(self.channels), value, size)

            for_vectors(packed_bytes(self.channels), self.target.vector_bytes, emit)

    def _inside(self, position: Any, tap: int, size: int) -> Any:
        """Row or column of a tap of the window at ``position``; the nearest one of the picture."""
        index = position * self.layer.stride + (tap - self.layer.padding)
        return T.max(T.min(index, size - 1), 0) if self.layer.padding else index

    def _emit_maximum(self, x: Any, starts: list[Any], size: int) -> list[Any]:
        """Planes of the maximum, the lowest first, of codes whose planes 0 begin at ``starts``."""
        planes: list[Any] = []
        candidates: list[Any] = []  # for each code, the channels in which it may be the maximum
        for plane in reversed(range(self.source.bits)):
            offset = plane * packed_bytes(self.channels)
            bits = [keep(load(x, start + offset, size)) for start in starts]
            possible = _both(candidates, bits)
            highest = possible[0]
            for bit in possible[1:]:
                highest = keep(highest | bit)
            planes.insert(0, highest)
            if plane:
                candidates = _both(candidates, [keep(bit | ~highest) for bit in bits])
        return planes


def _both(candidates: list[Any], bits: list[Any]) -> list[Any]:
    """``bits`` of the candidates; of all where there is no list of candidates yet."""
    if not candidates:
        return bits
    return [keep(a & b) for a, b in zip(candidates, bits, strict=True)]
