"""Maximum over windows: of packed codes, or of bytes.

Algebra. Levels grow with codes, signed or not, so the largest code is the largest level. Plane by
plane from the highest, a bit of the maximum is the or of that bit of all candidates; those that
lack a bit of the maximum drop out. Of 1-bit codes it is the or of the window. Bytes are compared as
they are. A pixel outside of the picture is replaced by the nearest one inside, which belongs to the
window as well, because the padding is less than the kernel: nothing is copied into a border.

Layout. Every bit position of a vector of codes is a channel, as in the depthwise convolution; a
vector is of one plane of one pixel. Lanes of bytes are channels.

Instructions for a window of t pixels and n planes, one vector of channels: t n loads, (t - 1) n or,
and where n > 1 (n - 1) t or-not and (2 n - 3) t and to drop candidates: 3x3 and 2 bits take 52.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import (
    Bytes,
    Codes,
    Format,
    MaxPool,
    pack_codes,
    packed_bytes,
    unpack_codes,
)
from bitat_deploy.operators.operator import Operator
from bitat_deploy.operators.vector_code import for_vectors, keep, load, parts, store
from bitat_deploy.target import Target


class _MaxPool(Operator):
    """What both have in common: windows."""

    layer: MaxPool

    def _maxima(self, x: NDArray[Any]) -> NDArray[Any]:
        """Of [1, height, width, channels], in plain numpy."""
        border = (self.layer.padding, self.layer.padding)
        lowest = np.iinfo(x.dtype).min
        padded = np.pad(x, ((0, 0), border, border, (0, 0)), constant_values=lowest)
        window = (self.layer.kernel, self.layer.kernel)
        windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(1, 2))
        return windows[:, :: self.layer.stride, :: self.layer.stride].max(axis=(4, 5))

    def _workload_details(self) -> tuple[str, ...]:
        layer = self.layer
        details = (f"bits={self.source.bits}", f"kernel={layer.kernel}", f"stride={layer.stride}")
        return (*details, f"padding={layer.padding}") if layer.padding else details

    @property
    def _pixel(self) -> int:
        return self.output.shape[-1]

    def _emit_pixels(
        self, elements: int, emit: Callable[[list[Any], Any, int], None], operations: int | None
    ) -> None:
        """``emit(starts, start, size)``: from a window's pixels, to a pixel of the output.

        For vectors of ``size`` of a pixel's ``elements``.
        """
        _, height, width, _ = self.output.shape
        window = range(self.layer.kernel)
        with parts(height, self.target, operations) as row, T.serial(width) as column:
            rows = [self._inside(row, i, self.height) for i in window]
            columns = [self._inside(column, j, self.width) for j in window]
            pixels = [(i * self.width + j) * self._pixel for i in rows for j in columns]

            def emit_vector(offset: Any, size: int) -> None:
                start = (row * width + column) * self._pixel + offset
                emit([pixel + offset for pixel in pixels], start, size)

            for_vectors(elements, self.target.vector_bytes, emit_vector)

    def _inside(self, position: Any, tap: int, size: int) -> Any:
        """Row or column of a tap of the window at ``position``; the nearest one of the picture."""
        index = position * self.layer.stride + (tap - self.layer.padding)
        return T.max(T.min(index, size - 1), 0) if self.layer.padding else index


class MaxPoolBytes(_MaxPool):
    """Maximum of bytes at a fixed shape: [1, height, width, channels]."""

    kind = "max_pool_bytes"

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All max pools of bytes."""
        return isinstance(layer, MaxPool) and isinstance(formats[layer.input], Bytes)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The maximum in plain numpy."""
        return self._maxima(x)

    def emit(self, x: Any, y: Any) -> None:
        """Pixel by pixel of the output, vectors of channels."""

        def emit(starts: list[Any], start: Any, size: int) -> None:
            highest = load(x, starts[0], size)
            for other in starts[1:]:
                highest = keep(T.max(highest, load(x, other, size)))
            store(y, start, highest, size)

        vectors = -(-self.output.size // self.target.vector_bytes)
        self._emit_pixels(self.channels, emit, vectors * self.layer.kernel**2)


class MaxPoolCodes(_MaxPool):
    """Maximum of codes at a fixed shape.

    Reads and writes packed [1, height, width, bits * ceil(channels / 8)].
    """

    kind = "max_pool_codes"

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All max pools of codes."""
        return isinstance(layer, MaxPool) and isinstance(formats[layer.input], Codes)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """Unpack, and the maximum in plain numpy."""
        maxima = self._maxima(unpack_codes(x, self.channels, self.source.bits))
        return pack_codes(maxima.astype(np.uint8), self.source.bits)

    def emit(self, x: Any, y: Any) -> None:
        """Pixel by pixel of the output, vectors of channels."""

        def emit(starts: list[Any], start: Any, size: int) -> None:
            planes = self._emit_maximum(x, starts, size)
            for plane, value in enumerate(planes):
                store(y, start + plane * packed_bytes(self.channels), value, size)

        self._emit_pixels(packed_bytes(self.channels), emit, None)

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
