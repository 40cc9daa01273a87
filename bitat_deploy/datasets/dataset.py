"""What every data set is once loaded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their labels.

    ``images`` uint8 [N, H, W, C]; ``labels`` int64 [N], indices into ``class_names``, or
    [0] where the pictures have no labels.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
