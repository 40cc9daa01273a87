"""Packed codes as the windows of a convolution read them: each group's bits from a byte on."""

from typing import Any

from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Codes, packed_bytes
from bitat_deploy.operators.convolution import ConvolutionOperator, PaddedCopy
from bitat_deploy.operators.vector_code import for_vectors, load, splat, store


def emit_code_windows(operator: ConvolutionOperator, codes: Codes, x: Any) -> tuple[Any, Any]:
    """The buffer that windows of the input ``x`` read, and the addresses of bytes in it.

    The second is address(plane, group, row, column), of a pixel's first byte of a plane of a group.
    A window of one pixel reads the input itself.
    """
    layer, group_channels = operator.layer, operator.group_channels
    plane_bytes, pixel = packed_bytes(operator.channels), packed_bytes(group_channels)
    aligned = layer.groups == 1 or group_channels % 8 == 0
    if layer.kernel == 1 and not layer.padding and aligned:

        def address(plane: Any, group: Any, row: Any, column: Any) -> Any:
            width = operator.row_width if layer.stride == 1 else operator.source.shape[1]
            start = (row * width + column) * codes.bits + plane
            return start * plane_bytes + group * pixel

        return x, address

    def emit_run(copy: Any, address: Any, plane: Any, group: Any, index: Any, size: int) -> None:
        start = (index * codes.bits + plane) * plane_bytes
        if aligned:
            start = start + group * pixel

            def emit_bytes(byte: Any, count: int) -> None:
                store(copy, address + byte, load(x, start + byte, count), count)

            for_vectors(size, operator.target.vector_bytes, emit_bytes)
            return
        for byte in range(pixel):
            bit = group * group_channels + 8 * byte
            count = min(8, group_channels - 8 * byte)
            value = _load_bits(x, start, bit, count, plane_bytes)
            T.buffer_store(copy, value, [address + byte])

    copy = PaddedCopy(operator, codes.bits, pixel, "uint8")
    last = 0xFF >> (8 * pixel - group_channels)  # spare bits are 0
    border = (0xFF, last) if layer.padding_level else (0, 0)
    return copy.emit(border, emit_run), copy.address


def _load_bits(x: Any, start: Any, bit: Any, count: int, plane_bytes: int) -> Any:
    """``count`` bits (at most 8) of a plane from ``bit`` on, as a byte."""
    first = bit // 8
    following = T.min(first + 1, plane_bytes - 1)
    pair = T.cast(x[start + first], "uint32") | (
        T.cast(x[start + following], "uint32") << splat(8, "uint32", 1)
    )
    value = (pair >> T.cast(bit % 8, "uint32")) & splat((1 << count) - 1, "uint32", 1)
    return T.cast(value, "uint8")
