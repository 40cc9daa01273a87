"""Pictures drawn at random, for networks whose data is not at hand."""

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.datasets.dataset import Dataset

NAME = "drawn pictures"
_COUNT = 24


def drawn_pictures(shape: tuple[int, int, int], count: int = _COUNT) -> NDArray[np.uint8]:
    """Pictures uint8 [count, H, W, C]: black, white, noise, and smooth ones like photographs."""
    random = np.random.default_rng(0)
    height, width, channels = shape
    pictures = random.integers(0, 256, (count, *shape), dtype=np.uint8)
    rows, columns = np.mgrid[0:height, 0:width][..., None] / max(height, width)
    for picture in pictures[: count // 2]:
        waves = np.zeros(shape)
        for _ in range(4):
            phase, tilt, turn = random.uniform(0, 7, (3, channels))
            waves += np.sin(phase + tilt * rows + turn * columns)
        picture[:] = np.clip(128 + 60 * waves, 0, 255).astype(np.uint8)
    pictures[:1], pictures[1:2] = 0, 255
    return pictures


def drawn_dataset(shape: tuple[int, int, int], count: int | None = None) -> Dataset:
    """Drawn pictures of ``shape`` (H, W, C) without labels."""
    return Dataset(NAME, drawn_pictures(shape, count or _COUNT), np.zeros(0, np.int64), ())
