"""Small data folders in Fashion-MNIST's format, with a pattern that a network can learn."""

import gzip
import struct
from pathlib import Path

import numpy as np


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_folder(folder: Path, train: int = 960, test: int = 200, compress: bool = True) -> Path:
    """Noisy stripes; their direction and width tell the class, wherever they begin."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    for prefix, count in (("train", train), ("t10k", test)):
        labels = random.integers(0, 10, count).astype(np.uint8)
        row, column = np.mgrid[:28, :28]
        direction = np.array([row, column, row + column, np.maximum(row, column), row + 2 * column])
        phase = direction[labels // 2] * np.array([0.7, 2.1])[labels % 2, None, None]
        phase += random.uniform(0, 6, (count, 1, 1))
        noise = random.normal(0, 10, (count, 28, 28))
        images = (120 + 80 * np.sin(phase) + noise).clip(0, 255).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx_bytes(array)
            path = folder / f"{prefix}-{name}-ubyte"
            if compress:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(content, 1))
            else:
                path.write_bytes(content)
    return folder
