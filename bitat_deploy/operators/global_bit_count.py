"""Global pooling of bits: at how many positions is a channel +1.

Layout. Every bit position of a vector is a channel, as in the depthwise convolution: the packed
pixels are added with carry-save adders into bit planes, a block of pixels at a time, and only the
planes are unpacked to counts.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Codes, Format, GlobalSum, packed_bytes, unpack_bits
from bitat_deploy.operators.carry_save import add_words_completely, full_adder
from bitat_deploy.operators.operator import Operator
from bitat_deploy.operators.vector_code import load, splat
from bitat_deploy.target import Target

_BLOCK = 63  # pixels added before their planes are unpacked: six planes


class GlobalBitCount(Operator):
    """Count of ones per channel at a fixed shape: packed bits to int32 [1, channels]."""

    kind = "global_bit_count"
    layer: GlobalSum

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """Global sums of 1-bit codes."""
        source = formats[layer.input] if isinstance(layer, GlobalSum) else None
        return isinstance(source, Codes) and source.bits == 1

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """Unpack and add, in plain numpy."""
        return unpack_bits(x, self.channels).sum(axis=(1, 2), dtype=np.int32)

    def emit(self, x: Any, y: Any) -> None:
        """Bytes of a pixel vector by vector, the last ones in smaller vectors."""
        pixel = packed_bytes(self.channels)
        full = pixel // self.target.vector_bytes
        counts = T.alloc_buffer([pixel * 8], "int32")
        with T.serial(pixel * 8) as channel:
            T.buffer_store(counts, splat(0, "int32", 1), [channel])
        if full:
            with T.serial(full) as part:
                offset = part * self.target.vector_bytes
                self._emit_blocks(x, counts, offset, self.target.vector_bytes)
        start = full * self.target.vector_bytes
        while start < pixel:
            size = 1 << ((pixel - start).bit_length() - 1)
            self._emit_blocks(x, counts, start, size)
            start += size
        with T.serial(self.channels) as channel:
            T.buffer_store(y, counts[channel], [channel])

    def _emit_blocks(self, x: Any, counts: Any, offset: Any, size: int) -> None:
        """Count all pixels of ``size`` bytes of channels."""
        blocks, rest = divmod(self.height * self.width, _BLOCK)
        if blocks:
            with T.serial(blocks) as block:
                self._emit_block(x, counts, offset, size, block * _BLOCK, _BLOCK)
        if rest:
            self._emit_block(x, counts, offset, size, blocks * _BLOCK, rest)

    def _emit_block(
        self, x: Any, counts: Any, offset: Any, size: int, first: Any, pixels: int
    ) -> None:
        """Add ``pixels`` pixels bit-sliced, then unpack the planes into the counts."""
        row = packed_bytes(self.channels)
        words = (load(x, (first + pixel) * row + offset, size) for pixel in range(pixels))
        planes = add_words_completely(words, full_adder(self.target))
        one = splat(1, "uint8", size)
        for bit in range(8):
            total = None
            for weight, plane in enumerate(planes):
                digit = (plane >> splat(bit, "uint8", size)) & one
                term = digit << splat(weight, "uint8", size) if weight else digit
                total = term if total is None else total + term
            # Channel bit of byte b of the vector is number 8 * b + bit: every eighth count.
            index = T.ramp(offset * 8 + bit, 8, size) if size > 1 else offset * 8 + bit
            dtype = f"int32x{size}" if size > 1 else "int32"
            T.buffer_store(counts, counts[index] + T.cast(total, dtype), [index])
