"""The reference logits of the test images: ONNX Runtime on the bundle's ONNX file."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.files import whole_file
from bitat_deploy.onnx_format import reference_logits
from bitat_deploy.paths import cache_directory

_CHUNK = 250

# Boards measured at once share the images, and one computation already uses all cores.
_ONE_AT_A_TIME = threading.Lock()


def cached_reference_logits(
    model: Path,
    model_sha256: str,
    images: NDArray[np.uint8],
    images_sha256: str,
    on_images: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float32]:
    """Logits float32 [N, classes] of ``images`` uint8 [N, H, W, C]; computed once, then cached.

    ``on_images`` is called with the number of images done.
    """
    with _ONE_AT_A_TIME:
        return _cached(model, model_sha256, images, images_sha256, on_images)


def _cached(
    model: Path,
    model_sha256: str,
    images: NDArray[np.uint8],
    images_sha256: str,
    on_images: Callable[[int], None],
) -> NDArray[np.float32]:
    record = cache_directory() / "references" / f"{model_sha256[:32]}-{images_sha256[:32]}.npy"
    try:
        cached: NDArray[np.float32] = np.load(record, allow_pickle=False)
        if cached.ndim == 2 and len(cached) == len(images):
            return cached
    except (OSError, ValueError, EOFError):
        pass  # not there, or damaged: computed below
    chunks = []
    for start in range(0, len(images), _CHUNK):
        on_images(start)
        chunks.append(reference_logits(model, images[start : start + _CHUNK]))
    logits = np.concatenate(chunks)
    record.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(record) as file:
        np.save(file, logits)
    return logits
