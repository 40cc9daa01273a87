"""Depthwise convolution with 8-bit weights of bytes or codes, with its output stage.

Layout. Lanes are channels: nothing is broadcast and nothing is added across lanes. The copy
(:mod:`.byte_copy`) has int8 levels less their zero, [row][column][channel]; weights are
[vector][tap][lane].

Instructions. int8 products are exact in int16 lanes, where as many are added as fit: two of bytes
(128 * 127 * 2 < 2^15), all nine of a 3x3 window of codes of up to 4 bits. Where that is not the
whole window they are widened and added to int32: on NEON for 8 channels and two taps ``smull``,
``smlal`` and two ``saddw``.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import IMAGE_WEIGHT_BITS, Convolution, Format
from bitat_deploy.operators.byte_copy import emit_byte_copy, largest_sum, level_range, zero_of
from bitat_deploy.operators.convolution import ConvolutionOperator, PaddedCopy
from bitat_deploy.operators.output_stage import Place, StageCode
from bitat_deploy.operators.vector_code import keep, load, parts, splat, vector_dtype
from bitat_deploy.target import Target

_INT16 = np.iinfo(np.int16).max


class EightBitDepthwiseConv(ConvolutionOperator):
    """Each channel has one filter of its own, of int8."""

    kind = "eight_bit_depthwise"

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All depthwise convolutions with square filters of 8 bits, whatever they read."""
        if not isinstance(layer, Convolution) or not (layer.depthwise and layer.square):
            return False
        return layer.weight_bits == IMAGE_WEIGHT_BITS

    @cached_property
    def stage_code(self) -> StageCode:
        """The output stage of the sums of what the copy holds."""
        base, zero = None, zero_of(self.source, "int8")
        if zero:
            base = zero * self.layer.weight.astype(np.int64).sum(axis=(1, 2, 3))[None]
        layer = self.layer
        return StageCode(
            stage=layer.output,
            channels=layer.out_channels,
            lanes=self._lanes,
            shortcut_channels=self.shortcut_channels,
            value_dtype="int16" if self._chain > layer.taps else "int32",
            base=base,
            largest=largest_sum(layer),
        )

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Weights [vector][tap][lane], flat; the output stage's."""
        taps = self.layer.weight[..., 0].reshape(self.channels, -1)
        spare = self._vectors * self._lanes - self.channels
        padded = np.pad(taps, ((0, spare), (0, 0))).reshape(self._vectors, self._lanes, -1)
        return (padded.transpose(0, 2, 1).ravel(), *self.stage_code.constants())

    @property
    def _lanes(self) -> int:
        """Products in two registers of int32, four of x86's: at least a byte of packed output."""
        return max(self.target.vector_bytes // 2, 8)

    @property
    def _vectors(self) -> int:
        return -(-self.channels // self._lanes)

    @property
    def _chain(self) -> int:
        """Products that int16 lanes add up."""
        zero = zero_of(self.source, "int8")
        level = max(abs(limit - zero) for limit in level_range(self.source))
        return max(1, _INT16 // (level * -int(self.layer.weight.min(initial=-127))))

    def emit(self, x: Any, *buffers: Any) -> None:
        """Copy the input; then rows, vectors of channels, pixels."""
        rest = list(buffers)
        y = rest.pop()
        shortcut = rest.pop(0) if self.shortcut_channels else None
        weight, *constants = rest
        code, lanes, kernel = self.stage_code, self._lanes, self.layer.kernel
        copied = PaddedCopy(self, 1, self.channels, "int8", slack=lanes, together=True)
        copy = emit_byte_copy(self, x, copied)
        height, width = self.out_size
        full, left = divmod(self.channels, lanes)

        def emit_row(row: Any, vector: Any, count: int) -> None:
            start = vector * (kernel**2 * lanes)
            weights = [keep(load(weight, start + tap * lanes, lanes)) for tap in range(kernel**2)]
            with T.serial(width) as column:
                total = self._emit_sum(copy, copied, weights, row, column, vector)
                place = Place(row * width + column, vector, count)
                code.emit(total, place, tuple(constants), shortcut, y)

        with parts(height, self.target, height * width * self._vectors * kernel**2) as row:
            if full:
                with T.serial(full) as vector:
                    emit_row(row, vector, lanes)
            if left:
                emit_row(row, full, left)

    def _emit_sum(
        self, copy: Any, copied: PaddedCopy, weights: list[Any], row: Any, column: Any, vector: Any
    ) -> Any:
        """The sums of a pixel's vector of channels, as the output stage takes them."""
        layer, lanes = self.layer, self._lanes
        wide, narrow = vector_dtype("int32", lanes), vector_dtype("int16", lanes)
        total: Any = splat(0, "int32", lanes)
        for first in range(0, len(weights), self._chain):
            products: Any = None
            for tap in range(first, min(first + self._chain, len(weights))):
                down, right = divmod(tap, layer.kernel)
                pixel = copied.address(
                    *(0, 0, row * layer.stride + down * layer.dilation),
                    column * layer.stride + right * layer.dilation,
                )
                value = load(copy, pixel + vector * lanes, lanes)
                product = T.cast(value, narrow) * T.cast(weights[tap], narrow)
                products = keep(product if products is None else products + product)
            if self._chain > layer.taps:
                return products
            total = keep(total + T.cast(products, wide))
        return total
