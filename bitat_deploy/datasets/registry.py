"""Data sets by name."""

from collections.abc import Callable
from pathlib import Path

from bitat_deploy.datasets import image_folder
from bitat_deploy.datasets.cifar import CIFAR_10, CIFAR_100, load_cifar
from bitat_deploy.datasets.dataset import Dataset
from bitat_deploy.datasets.fashion_mnist import load_fashion_mnist
from bitat_deploy.errors import InputError

_LOADERS: dict[str, Callable[[str, Path | None, int | None], Dataset]] = {
    "fashion-mnist": lambda split, path, _: load_fashion_mnist(split, path),
    CIFAR_10.name: lambda split, path, _: load_cifar(CIFAR_10, split, path),
    CIFAR_100.name: lambda split, path, _: load_cifar(CIFAR_100, split, path),
    image_folder.NAME: image_folder.load_image_folder,
}


def dataset_names() -> list[str]:
    """Names :func:`load_dataset` knows, sorted."""
    return sorted(_LOADERS)


def load_dataset(
    name: str, split: str, path: Path | None = None, image_size: int | None = None
) -> Dataset:
    """Load ``split`` ("train" or "test") of the data set ``name``.

    ``path`` is a folder with the data set's files or an archive of them; without it Fashion-MNIST
    is looked for in the cache and the system's packages, then downloaded. ``image_size`` is the
    side in pixels to which the images of "image-folder" are brought (None: they have one size
    already); the other data sets have a size of their own. Raises InputError (unknown name,
    damaged files) or BuildError (download failed, disk full).
    """
    if name not in _LOADERS:
        raise InputError(f"unknown data set '{name}'; choose one of: {', '.join(dataset_names())}")
    if split not in ("train", "test"):
        raise InputError(f"unknown split '{split}' of {name}; choose train or test")
    if image_size is not None and image_size < 1:
        raise InputError(f"the image size must be positive, not {image_size}")
    return _LOADERS[name](split, path, image_size)
