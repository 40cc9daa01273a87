"""The reference logits of the test images: ONNX Runtime on the bundle's ONNX file."""

import contextlib
import hashlib
import io
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.files import whole_file
from bitat_deploy.onnx_format import reference_logits
from bitat_deploy.paths import cache_directory

_CHUNK = 250
_CHECKSUM_BYTES = 32

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
    record = _folder() / f"{model_sha256[:32]}-{images_sha256[:32]}"
    cached = read_record(record)
    if cached is not None and len(cached) == len(images):
        return cached
    chunks = []
    for start in range(0, len(images), _CHUNK):
        on_images(start)
        chunks.append(reference_logits(model, images[start : start + _CHUNK]))
    logits = np.concatenate(chunks)
    # What was measured does not depend on a cache that can be written.
    with contextlib.suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        write_record(record, logits)
    return logits


def _folder() -> Path:
    return cache_directory() / "references"


def write_record(record: Path, logits: NDArray[np.float32]) -> None:
    """Write the sha256 of what follows it, and the array as numpy writes it."""
    content = io.BytesIO()
    np.save(content, logits)
    with whole_file(record) as file:
        file.write(hashlib.sha256(content.getvalue()).digest() + content.getvalue())


def read_record(record: Path) -> NDArray[np.float32] | None:
    """What ``write_record`` wrote; None where there is no record, or one that was damaged."""
    try:
        content = record.read_bytes()
        checksum, array = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if hashlib.sha256(array).digest() != checksum:
            return None
        logits = np.load(io.BytesIO(array), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return logits if logits.ndim == 2 and logits.dtype == np.float32 else None
