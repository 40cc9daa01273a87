"""Pictures of the images that a network classified wrongly."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_LARGEST = 160  # pixels of a side; a page shows them in columns


def mistake_pictures(document: Mapping[str, Any], images: NDArray[np.uint8]) -> dict[int, bytes]:
    """JPEG files of the document's mistakes, by index; ``images`` uint8 [N, H, W, C] were benched.

    Empty where pictures of C channels cannot be shown.
    """
    channels = images.shape[3]
    if channels not in (1, 3, 4):
        return {}
    mistakes = document["accuracy"].get("mistakes", ())
    return {mistake["image"]: _jpeg(images[mistake["image"]]) for mistake in mistakes}


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    """``image`` [H, W, C]; a fourth channel is left out."""
    pixels = image[..., 0] if image.shape[2] == 1 else image[..., :3]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((_LARGEST, _LARGEST))
    with io.BytesIO() as file:
        picture.save(file, "JPEG", quality=90, subsampling=0)
        return file.getvalue()
