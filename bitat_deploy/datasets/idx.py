"""The IDX format of the MNIST family (http://yann.lecun.com/exdb/mnist, "the IDX file format").

Two zero bytes, a type code (8 is uint8), the number of axes; then each axis as a big-endian
32-bit integer; then the values in row-major order.
"""

import math
import struct

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.errors import InputError

_UINT8 = 8


def read_idx(content: bytes, source: str, axes: int) -> NDArray[np.uint8]:
    """Decode decompressed IDX ``content`` with ``axes`` axes of uint8.

    ``source`` names it in messages. Raises InputError when the header or the length is wrong.
    """
    header = 4 + 4 * axes
    if len(content) < header:
        raise InputError(f"'{source}' is truncated: {len(content)} bytes, no complete IDX header")
    if content[:4] != bytes((0, 0, _UINT8, axes)):
        raise InputError(
            f"'{source}' is not the expected IDX file: it begins with {content[:4].hex()}, "
            f"not {bytes((0, 0, _UINT8, axes)).hex()}"
        )
    shape = struct.unpack(f">{axes}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise InputError(
            f"'{source}' is damaged: its header announces {expected} bytes, it has {len(content)}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
