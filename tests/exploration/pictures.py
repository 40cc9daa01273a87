"""A folder of drawn photos that a small network can tell apart, and few candidates."""

from pathlib import Path

import numpy as np
from PIL import Image

CANDIDATES = """
shapes:
  small: {architecture: mobilenet-v1, block: shortcut, stem_channels: 16, blocks: [[32, 2]]}
widths: [1.0]
image_sizes: [16]
bits:
  - {weights: 1, activations: 1}
  - {weights: 2, activations: 2}
float_rows: false
training: {epochs: 4}
"""


def write_photos(root: Path, each: int = 60) -> Path:
    """``root``/CLASS/NUMBER.png of three classes: bright above, bright to the left, dark."""
    random = np.random.default_rng(0)
    for label, name in enumerate(("above", "left", "none")):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(each):
            picture = random.integers(0, 120, (16, 16, 3), dtype=np.uint8)
            if label == 0:
                picture[:6] += 120
            if label == 1:
                picture[:, :6] += 120
            Image.fromarray(picture).save(folder / f"{number}.png")
    return root


def write_candidates(path: Path, text: str = CANDIDATES) -> Path:
    """``path``, which then holds ``text``."""
    path.write_text(text)
    return path
