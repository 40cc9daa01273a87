"""What a layer to be folded reads: the name of its input, and what its integers stand for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class CodeSource:
    """Codes of ``bits`` bits, of 8 bytes: the real value is ``unit`` times the level."""

    name: str
    unit: float
    bits: int
    signed: bool

    @property
    def top(self) -> int:
        """The highest level."""
        return 127 if self.is_bytes and self.signed else 2**self.bits - 1

    @property
    def bottom(self) -> int:
        """The lowest level."""
        return -self.top if self.signed else 0

    @property
    def is_bytes(self) -> bool:
        """Whether a level takes a byte."""
        return self.bits == 8


@dataclass(frozen=True)
class StreamSource:
    """A stream: s stands for (s + 1/2) / scale, with one scale for the network."""

    name: str


Source = CodeSource | StreamSource


def float64(tensor: Tensor) -> NDArray[np.float64]:
    """A tensor's values, detached, in double precision."""
    values: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return values
