"""What every operator is: one layer at a fixed shape, for one target.

An operator's file holds, next to each other, its compute and schedule (``prim_func``), the
rearrangement of its weights (``constants``) and its plain numpy reference.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TensorSpec:
    """Shape and numpy dtype name of a tensor, batch axis included."""

    shape: tuple[int, ...]
    dtype: str


class Operator(Protocol):
    """One layer at a fixed shape, for one target."""

    @property
    def input(self) -> TensorSpec:
        """What the layer reads."""

    @property
    def output(self) -> TensorSpec:
        """What the layer writes."""

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Weights and thresholds in the layout that ``prim_func`` wants."""

    def prim_func(self) -> Any:
        """TIR function with the parameters (input, *constants, output)."""

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The layer in plain numpy; the TIR function equals it bit for bit."""
