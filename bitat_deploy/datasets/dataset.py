"""What every data set is once loaded."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.errors import InputError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their labels.

    ``images`` uint8 [N, H, W, C]; ``labels`` int64 [N], indices into ``class_names``, or
    [0] where the pictures have no labels. ``files`` are the images' file names, without folders;
    none where they are not files.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    files: tuple[str, ...] = ()

    def first(self, count: int | None) -> "Dataset":
        """The first ``count`` images, as a view; all of them where it is None."""
        return replace(
            self,
            images=self.images[:count],
            labels=self.labels[:count],
            files=self.files[:count],
        )

    def middle(self, height: int, width: int) -> "Dataset":
        """The middle of each image, as a view. Raises InputError for images that are smaller."""
        rows, columns = self.images.shape[1:3]
        if rows < height or columns < width:
            raise InputError(
                f"the images of {self.name} have {columns}x{rows} pixels, the network takes the "
                f"middle {width}x{height}: give larger ones"
            )
        top, left = (rows - height) // 2, (columns - width) // 2
        return replace(self, images=self.images[:, top : top + height, left : left + width])
