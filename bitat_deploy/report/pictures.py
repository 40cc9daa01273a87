"""Pictures of the images that a network classified wrongly."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bitat_deploy.device import BenchResult

# Pixels of a side; a page shows them in columns. Small ones are enlarged, so that no browser blurs.
_LARGEST, _SMALL = 160, 80


def mistake_pictures(result: BenchResult) -> dict[int, bytes]:
    """JPEG files by the index of the image; none of images whose channels are no colours."""
    return {
        mistake.image: _jpeg(mistake.pixels)
        for mistake in result.accuracy.mistakes
        if mistake.pixels.shape[2] in (1, 3, 4)
    }


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    """``image`` [H, W, C]; a fourth channel is left out."""
    pixels = image[..., 0] if image.shape[2] == 1 else image[..., :3]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((_LARGEST, _LARGEST))
    factor = _LARGEST // max(picture.size) if max(picture.size) <= _SMALL else 1
    if factor > 1:
        size = (factor * picture.width, factor * picture.height)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    with io.BytesIO() as file:
        picture.save(file, "JPEG", quality=90, subsampling=0)
        return file.getvalue()
