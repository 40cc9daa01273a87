"""Data sets by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bitat_deploy.datasets import fashion_mnist, gtsrb, image_folder
from bitat_deploy.datasets.cifar import CIFAR_10, CIFAR_100, CIFAR_SHAPE, load_cifar
from bitat_deploy.datasets.dataset import Dataset
from bitat_deploy.datasets.pictures import in_order
from bitat_deploy.datasets.splitting import HeldOut
from bitat_deploy.errors import InputError
from bitat_deploy.network import OWN, Preprocessing

# Of pictures as they are, and of pictures of any size.
_ARRAYS: dict[str, Callable[[str, Path | None], Dataset]] = {
    fashion_mnist.NAME: fashion_mnist.load_fashion_mnist,
    CIFAR_10.name: lambda split, path: load_cifar(CIFAR_10, split, path),
    CIFAR_100.name: lambda split, path: load_cifar(CIFAR_100, split, path),
}
_PICTURES: dict[str, Callable[..., Dataset]] = {
    gtsrb.NAME: gtsrb.load_gtsrb,
}
# Height, width, channels and number of classes, where the data set fixes them.
_SHAPES = {
    fashion_mnist.NAME: (fashion_mnist.SHAPE, len(fashion_mnist.CLASS_NAMES)),
    CIFAR_10.name: (CIFAR_SHAPE, len(CIFAR_10.class_names)),
    CIFAR_100.name: (CIFAR_SHAPE, len(CIFAR_100.class_names)),
}


def dataset_names() -> list[str]:
    """Names :func:`load_dataset` knows, sorted."""
    return sorted([*_ARRAYS, *_PICTURES, image_folder.NAME])


def dataset_shape(
    name: str, image_size: int | None = None
) -> tuple[tuple[int, int, int], int] | None:
    """(height, width, channels) and the number of classes, without loading anything.

    ``image_size`` as in :func:`load_dataset`. None where the user's files decide.
    """
    if name == gtsrb.NAME:
        size = image_size or gtsrb.DEFAULT_SIZE
        return (size, size, 3), len(gtsrb.CLASS_NAMES)
    return _SHAPES.get(name)


def is_provided(name: str) -> bool:
    """Whether the data set's files are found or downloaded, so that no user has to give them."""
    return name == fashion_mnist.NAME


def load_dataset(
    name: str,
    split: str,
    path: Path | None = None,
    image_size: image_folder.Size = None,
    held_out: HeldOut | None = None,
    preprocessing: Preprocessing = OWN,
) -> Dataset:
    """Load ``split`` ("train" or "test") of the data set ``name``.

    ``path`` is a folder with the data set's files or an archive of them; without it Fashion-MNIST
    is looked for in the cache and the system's packages, then downloaded. ``image_size`` is the
    side in pixels to which the images of "image-folder" (None: they have one size already) and
    "gtsrb" (None: 32) are brought by ``preprocessing``, or height, width and channels; the other
    data sets have a size of their own, and only the order of the colours is changed. ``held_out``
    says which images of "image-folder" are for testing where the folder does not; without it a
    folder of CLASS/IMAGE holds test images only. Raises InputError (unknown name, damaged files) or
    BuildError (download failed, disk full).
    """
    if name not in dataset_names():
        raise InputError(f"unknown data set '{name}'; choose one of: {', '.join(dataset_names())}")
    if split not in ("train", "test"):
        raise InputError(f"unknown split '{split}' of {name}; choose train or test")
    if isinstance(image_size, int) and image_size < 1:
        raise InputError(f"the image size must be positive, not {image_size}")
    if name == image_folder.NAME:
        return image_folder.load_image_folder(split, path, image_size, held_out, preprocessing)
    if name in _PICTURES:
        return _PICTURES[name](split, path, image_size, preprocessing)
    dataset = _ARRAYS[name](split, path)
    return replace(dataset, images=in_order(dataset.images, preprocessing))
