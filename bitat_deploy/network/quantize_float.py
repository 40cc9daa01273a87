"""The layer of mixed networks that turns float32 into codes; no other layer reads floats."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network.formats import Codes


@dataclass(frozen=True, eq=False)
class QuantizeFloat:
    """A float32 tensor [1, C, H, W] to packed codes [1, H, W, ...].

    The code of channel c is the number of ``thresholds`` float32 [2^bits - 1, channels] that are at
    most x[``channel``[c]] * ``sign``[c]; ``channel`` int32, ``sign`` +1 or -1 in float32.
    ``input_shape`` is (C, H, W).
    """

    name: str
    input: str
    input_shape: tuple[int, int, int]
    channel: NDArray[np.int32]
    sign: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    signed: bool

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return len(self.thresholds).bit_length()

    @property
    def codes(self) -> Codes:
        """The format of the output."""
        _, height, width = self.input_shape
        return Codes((height, width, len(self.channel)), self.bits, self.signed)
