"""Fashion-MNIST (Xiao et al., arXiv 1708.07747): 60,000 + 10,000 grey images of 28x28, 10 classes.

If no folder is given, it is looked for in the cache, then in the folder of Debian's package
``dataset-fashion-mnist``, then downloaded into the cache from its public address. Files are checked
by the sha256 of the decompressed content, which does not depend on the compression.
"""

import gzip
import hashlib
import http.client
import urllib.request
import zlib
from pathlib import Path

import numpy as np

from bitat_deploy.datasets.dataset import Dataset
from bitat_deploy.datasets.idx import read_idx
from bitat_deploy.errors import BuildError, InputError
from bitat_deploy.files import whole_file
from bitat_deploy.paths import cache_directory

NAME = "fashion-mnist"
SHAPE = (28, 28, 1)  # height, width, channels
CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DOWNLOAD_ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
DEBIAN_DIRECTORY = Path("/usr/share/datasets/fashion-mnist")
_TIMEOUT_SECONDS = 30

SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_PREFIXES = {"train": "train", "test": "t10k"}


def load_fashion_mnist(split: str, path: Path | None = None) -> Dataset:
    """Load ``split``, "train" (60,000 images) or "test" (10,000): images uint8 [N, 28, 28, 1].

    ``path`` is a folder with the four IDX files, with or without .gz; there only format and
    shape are checked, so that a subset may be used. Raises InputError for missing or damaged
    files, BuildError when the download fails.
    """
    if split not in _PREFIXES:
        raise InputError(f"unknown split '{split}' of {NAME}; choose train or test")
    prefix = _PREFIXES[split]
    images_name, labels_name = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    images, images_source = _content(images_name, path)
    labels, labels_source = _content(labels_name, path)
    return _dataset(images, images_source, labels, labels_source)


def _dataset(images: bytes, images_source: str, labels: bytes, labels_source: str) -> Dataset:
    pixels = read_idx(images, images_source, axes=3)
    classes = read_idx(labels, labels_source, axes=1)
    if pixels.shape[1:] != SHAPE[:2]:
        raise InputError(
            f"'{images_source}' holds images of {pixels.shape[1]}x{pixels.shape[2]} pixels, "
            f"{NAME} has 28x28"
        )
    if len(pixels) != len(classes):
        raise InputError(
            f"'{images_source}' holds {len(pixels)} images but '{labels_source}' "
            f"{len(classes)} labels"
        )
    if len(pixels) == 0:
        raise InputError(f"'{images_source}' holds no images")
    if classes.max() >= len(CLASS_NAMES):
        raise InputError(f"'{labels_source}' has labels above {len(CLASS_NAMES) - 1}")
    return Dataset(NAME, pixels[..., np.newaxis], classes.astype(np.int64), CLASS_NAMES)


def _content(name: str, path: Path | None) -> tuple[bytes, str]:
    """Decompressed content of one IDX file, and its name in messages."""
    if path is not None:
        if not path.is_dir():
            raise InputError(f"'{path}' is not a folder; give one that holds the four IDX files")
        file = _find(path, name)
        if file is None:
            raise InputError(f"'{path}' holds neither {name} nor {name}.gz")
        return _read(file), str(file)
    cached = cache_directory() / "datasets" / NAME
    for folder in (cached, DEBIAN_DIRECTORY):
        file = _find(folder, name)
        if file is not None and (content := _verified(file, name)) is not None:
            return content, str(file)
    return _download(name, cached), str(cached / f"{name}.gz")


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.gz")
    return next((file for file in candidates if file.is_file()), None)


def _read(file: Path) -> bytes:
    try:
        content = file.read_bytes()
        return gzip.decompress(content) if file.suffix == ".gz" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"'{file}' is truncated or not a gzip file") from error
    except OSError as error:
        raise InputError(f"'{file}' cannot be read: {error.strerror}") from error


def _verified(file: Path, name: str) -> bytes | None:
    """Content with the right checksum; None for a damaged file, so that the next one is tried."""
    try:
        content = _read(file)
    except InputError:
        return None
    return content if hashlib.sha256(content).hexdigest() == SHA256[name] else None


def _download(name: str, folder: Path) -> bytes:
    address = f"{DOWNLOAD_ADDRESS}{name}.gz"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            compressed = response.read()
        content = gzip.decompress(compressed)
    except (OSError, EOFError, zlib.error, http.client.HTTPException) as error:
        raise BuildError(f"download of {address} failed ({error}); {_REMEDIES}") from error
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise BuildError(f"download of {address} has a wrong checksum; {_REMEDIES}")
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / f"{name}.gz") as file:
        file.write(compressed)
    return content


_REMEDIES = (
    "check the network, or install Debian's package dataset-fashion-mnist, or give the folder "
    "of the four IDX files with --data"
)
