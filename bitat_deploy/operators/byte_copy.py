"""Inputs as bytes: the copy that 8-bit convolutions read, with a border, whatever they are given.

The copy holds level - zero in narrow integers: a picture and unsigned bytes of 0 to 255 in int8
have 128 for ``zero``, signed bytes in uint8 -128, signed codes there their lowest level. The output
stage adds zero * (sum of the filter's weights), border included, as the border's level is moved
alike. Codes of 1 to 4 bits are unpacked: a plane's bits become a mask, and each mask adds its power
of two.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Codes, Convolution, Format, Image, packed_bytes
from bitat_deploy.operators.convolution import ConvolutionOperator, PaddedCopy
from bitat_deploy.operators.vector_code import (
    element_dtype,
    for_vectors,
    keep,
    load,
    load_bits,
    splat,
    store,
    vector_dtype,
)


def level_range(source: Any) -> tuple[int, int]:
    """The lowest and the highest level of what a convolution reads."""
    return (0, 255) if isinstance(source, Image) else (source.bottom, source.top)


def zero_of(source: Format, dtype: str) -> int:
    """What is subtracted from the levels so that ``dtype`` holds them."""
    bottom, top = level_range(source)
    if dtype == "int8":
        return 128 if top > 127 else 0
    if dtype == "uint8" and bottom < 0:
        return bottom if isinstance(source, Codes) else -128
    return 0


def largest_sum(layer: Convolution) -> int:
    """What sums of 8-bit levels, or of what the copy holds, are at most, and both together."""
    return 2 * 255 * int(np.abs(layer.weight.astype(np.int64)).sum(axis=(1, 2, 3)).max(initial=0))


def emit_byte_copy(operator: ConvolutionOperator, x: Any, copied: PaddedCopy) -> Any:
    """Copy the levels in ``x``, less their zero, inside of the border: the copy."""
    zero = zero_of(operator.source, copied.dtype)
    border = operator.layer.padding_level - zero
    emit_run = _emit_codes if isinstance(operator.source, Codes) else _emit_bytes

    def emit(copy: Any, address: Any, _: Any, group: Any, pixel: Any, size: int) -> None:
        emit_run(operator, copied, (x, copy), (address, group, pixel), size, zero)

    return copied.emit((border, border), emit)


def _emit_bytes(
    operator: ConvolutionOperator,
    copied: PaddedCopy,
    buffers: tuple[Any, Any],
    place: tuple[Any, Any, Any],
    size: int,
    zero: int,
) -> None:
    x, copy = buffers
    address, group, pixel = place
    start = pixel * operator.channels + group * copied.pixel

    def emit(element: Any, lanes: int) -> None:
        value = load(x, start + element, lanes)
        if zero:  # -128 or 128: either changes the highest bit
            bits = T.reinterpret(vector_dtype("uint8", lanes), value) ^ splat(128, "uint8", lanes)
            value = T.reinterpret(vector_dtype(copied.dtype, lanes), bits)
        elif element_dtype(value) != copied.dtype:
            value = T.cast(value, vector_dtype(copied.dtype, lanes))
        store(copy, address + element, value, lanes)

    for_vectors(size, operator.target.vector_bytes, emit)


def _emit_codes(
    operator: ConvolutionOperator,
    copied: PaddedCopy,
    buffers: tuple[Any, Any],
    place: tuple[Any, Any, Any],
    size: int,
    zero: int,
) -> None:
    x, copy = buffers
    address, group, first = place
    codes, channels, dtype = operator.source, copied.pixel, copied.dtype
    plane_bytes = packed_bytes(operator.channels)
    lowest = codes.bottom - zero
    steps = [(1 + int(codes.signed)) << plane for plane in range(codes.bits)]
    aligned = channels == operator.channels or channels % 8 == 0

    def value_of(masks: Sequence[Any], lanes: int) -> Any:
        value = splat(lowest, dtype, lanes)
        for mask, step in zip(masks, steps, strict=True):
            value = keep(value + T.Select(mask, splat(step, dtype, lanes), splat(0, dtype, lanes)))
        return value

    with T.serial(size // channels) as index:
        start = (first + index) * (codes.bits * plane_bytes)
        target = address + index * channels

        def emit_whole(byte: Any, count: int) -> None:
            offset = start + byte + (group * (channels // 8) if channels % 8 == 0 else 0)
            masks = [
                load_bits(x, offset + plane * plane_bytes, count, operator.target)
                for plane in range(codes.bits)
            ]
            store(copy, target + 8 * byte, value_of(masks, 8 * count), 8 * count)

        def emit_one(element: Any) -> None:
            channel = group * channels + element
            shift = T.cast(channel % 8, "uint8")
            masks = [
                (x[start + plane * plane_bytes + channel // 8] >> shift) & splat(1, "uint8", 1)
                for plane in range(codes.bits)
            ]
            bits = [mask != splat(0, "uint8", 1) for mask in masks]
            T.buffer_store(copy, value_of(bits, 1), [target + element])

        whole = channels // 8 if aligned else 0
        for_vectors(whole, operator.target.vector_bytes // 8, emit_whole)
        if channels > 8 * whole:
            with T.serial(channels - 8 * whole) as rest:
                emit_one(8 * whole + rest)
