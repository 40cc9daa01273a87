"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 50,000 + 10,000 colour images of 32x32.

Read in the python and the binary format of https://www.cs.toronto.edu/~kriz/cifar.html and as
folders of images by class; each in a folder or in a tar archive.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.datasets.cifar_python import python_images
from bitat_deploy.datasets.dataset import Dataset
from bitat_deploy.datasets.image_folder import (
    has_class_folders,
    is_decoded,
    load_class_folders,
)
from bitat_deploy.datasets.source import ArchiveSource, Source, open_source, shown
from bitat_deploy.errors import InputError

CIFAR_SHAPE = (32, 32, 3)  # height, width, channels
_PIXELS = math.prod(CIFAR_SHAPE)
_HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"


@dataclass(frozen=True)
class Variant:
    """One of the two data sets: its files by split, and how a record begins."""

    name: str
    class_names: tuple[str, ...]
    python_files: dict[str, tuple[str, ...]]
    binary_files: dict[str, tuple[str, ...]]
    labels_key: str
    label_bytes: int  # of a binary record; the last of them is the class


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_CLASSES_10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_CLASSES_100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle",
    "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle",
    "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch",
    "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox",
    "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom",
    "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake",
    "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle",
    "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip
CIFAR_10 = Variant(
    "cifar-10",
    _CLASSES_10,
    {"train": _BATCHES, "test": ("test_batch",)},
    {"train": tuple(f"{batch}.bin" for batch in _BATCHES), "test": ("test_batch.bin",)},
    "labels",
    1,
)
CIFAR_100 = Variant(
    "cifar-100",
    _CLASSES_100,
    {"train": ("train",), "test": ("test",)},
    {"train": ("train.bin",), "test": ("test.bin",)},
    "fine_labels",
    2,
)


def load_cifar(variant: Variant, split: str, path: Path | None) -> Dataset:
    """Load ``split``, "train" or "test", from ``path``: images uint8 [N, 32, 32, 3].

    Any number of images is accepted, so that a subset may be used. Raises InputError for a missing,
    damaged or different data set.
    """
    if path is None:
        raise InputError(
            f"the data set {variant.name} needs --data: the folder or archive from {_HOME}, "
            "or class folders of its images"
        )
    source = open_source(path)
    if isinstance(source, ArchiveSource) and is_decoded(source, split, variant.class_names):
        return _from_class_folders(variant, source, split)  # without listing the archive
    names = source.names()
    for files, read in ((variant.python_files, _read_python), (variant.binary_files, _read_binary)):
        found = {name.split("/")[-1]: name for name in names if name.count("/") <= 1}
        expected = [file for group in files.values() for file in group]
        if any(file in found for file in expected):
            missing = [file for file in expected if file not in found]
            if missing:
                raise InputError(
                    f"'{path}' is not complete {variant.name}: '{missing[0]}' is missing"
                )
            wanted = [found[file] for file in files[split]]
            contents = dict(source.read(wanted))  # in one pass
            parts = [read(variant, contents[name], shown(source, name)) for name in wanted]
            return _joined(variant, source, parts)
    if has_class_folders(names):
        return _from_class_folders(variant, source, split)
    raise InputError(_another(variant, source.path, names))


def _read_python(
    variant: Variant, content: bytes, shown_name: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return python_images(content, shown_name, variant.labels_key)


def _read_binary(
    variant: Variant, content: bytes, shown_name: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    record = variant.label_bytes + _PIXELS
    if len(content) % record:
        raise InputError(
            f"{shown_name} is damaged: its {len(content)} bytes are not a multiple of "
            f"{record}, a record of {variant.name}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    labels = records[:, variant.label_bytes - 1].astype(np.int64)
    return records[:, variant.label_bytes :].reshape(-1, 3, 32, 32), labels


def _joined(
    variant: Variant, source: Source, parts: list[tuple[NDArray[np.uint8], NDArray[np.int64]]]
) -> Dataset:
    images = np.concatenate([part[0] for part in parts])
    labels = np.concatenate([part[1] for part in parts])
    if len(images) == 0:
        raise InputError(f"'{source.path}' holds no images")
    classes = len(variant.class_names)
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"'{source.path}' has labels from {labels.min()} to {labels.max()}, {variant.name} "
            f"has 0 to {classes - 1}; it is damaged or another data set"
        )
    channels_last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return Dataset(variant.name, channels_last, labels, variant.class_names)


def _from_class_folders(variant: Variant, source: Source, split: str) -> Dataset:
    dataset = load_class_folders(variant.name, source, split, None, variant.class_names)
    height, width = dataset.images.shape[1:3]
    if (height, width) != (32, 32):
        raise InputError(
            f"'{source.path}' holds images of {width}x{height} pixels, {variant.name} has 32x32"
        )
    return dataset


def _another(variant: Variant, path: Path, names: Iterable[str]) -> str:
    found = {name.split("/")[-1] for name in names}
    for other in (CIFAR_10, CIFAR_100):
        files = {*other.python_files["test"], *other.binary_files["test"]}
        if other is not variant and files & found:
            return f"'{path}' holds {other.name}, not {variant.name}"
    return (
        f"'{path}' does not hold {variant.name}: neither {variant.python_files['test'][0]} nor "
        f"{variant.binary_files['test'][0]} nor train/CLASS/IMAGE; get it from {_HOME}"
    )
