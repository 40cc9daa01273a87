"""Folders of images by class: train/CLASS/IMAGE and test/CLASS/IMAGE, or a tar archive of them.

The test images may also be called "val", as in ImageNet; a folder of CLASS/IMAGE alone holds test
images, or both kinds where a share is to be held out. The classes' images are spread evenly, so
that any part of them has all classes in their proportion: of equally many the first of each class
come first, then the second of each.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.datasets.dataset import Dataset
from bitat_deploy.datasets.decoded import Entry, Facts, decoded_once, find_decoded
from bitat_deploy.datasets.pictures import decode_picture, large_pictures_refused, may_be_picture
from bitat_deploy.datasets.source import FolderSource, Source, open_source, shown
from bitat_deploy.datasets.splitting import HeldOut
from bitat_deploy.errors import InputError
from bitat_deploy.network import OWN, Preprocessing

NAME = "image-folder"
Size = int | tuple[int, int, int] | None  # side, or height, width and channels
_FOLDERS = {"train": ("train",), "test": ("test", "val")}
_DECODING = "2"  # 2: all of a JPEG's pixels, before it is resized
_ALONE = ""  # in place of a split's folder: classes that are in no such folder
_TOGETHER = 32  # images a thread decodes in one go: switching threads costs as much as a small one
_T = TypeVar("_T")


@dataclass(frozen=True)
class ClassFiles:
    """``files[split][label]``: names of the images, in order.

    ``splits_itself``: which of them are test images was not decided by us.
    """

    class_names: tuple[str, ...]
    files: dict[str, tuple[tuple[str, ...], ...]]
    splits_itself: bool = True


@dataclass(frozen=True)
class Arrangement:
    """How pictures lie in a source: which there are, and whether a file (by its name) is one of a
    split or tells of it. ``facts`` are what it depends on besides the source."""

    find: Callable[[Source], ClassFiles]
    belongs: Callable[[str, str], bool]
    facts: tuple[str, ...] = ()


def load_image_folder(
    split: str,
    path: Path | None,
    image_size: Size,
    held_out: HeldOut | None = None,
    preprocessing: Preprocessing = OWN,
) -> Dataset:
    """Load ``split`` of any images: uint8 [N, H, W, C], of 3 channels unless ``image_size`` says.

    Where the folder has no test images, ``held_out`` says which they are.

    With ``image_size`` each is brought to it by ``preprocessing``; without, all must have one size.
    Decoded images are kept in the cache. Raises InputError for a missing or
    unsuitable folder and for a file that is not an image.
    """
    if path is None:
        raise InputError(
            f"the data set {NAME} needs --data: a folder, or a tar archive of it, with "
            "train/CLASS/IMAGE and test/CLASS/IMAGE"
        )
    arrangement = class_folders(None, held_out)
    return load_pictures(NAME, open_source(path), split, image_size, arrangement, preprocessing)


def load_class_folders(
    name: str,
    source: Source,
    split: str,
    image_size: Size,
    class_names: tuple[str, ...] | None = None,
) -> Dataset:
    """As :func:`load_image_folder`; the classes must be ``class_names`` where given."""
    return load_pictures(name, source, split, image_size, class_folders(class_names))


def load_pictures(
    name: str,
    source: Source,
    split: str,
    image_size: Size,
    arrangement: Arrangement,
    preprocessing: Preprocessing = OWN,
) -> Dataset:
    """As :func:`load_image_folder`, of any arrangement."""

    def decode(file: BinaryIO) -> Facts:
        found = arrangement.find(source)
        files, labels = _spread(found.files[split])
        if not files:
            raise InputError(
                f"'{source.path}' holds no images in {split}/CLASS/, but classes alone, which are "
                "test images; arrange them as train/CLASS/IMAGE and test/CLASS/IMAGE"
            )
        shape = _decode(source, files, image_size, preprocessing, file)
        names = tuple(name.rpartition("/")[2] for name in files)
        return Facts(shape, labels, found.class_names, names)

    if isinstance(source, FolderSource):  # the other split may have changed since it was decoded
        arrangement.find(source)
    entry = _entry(source, split, image_size, arrangement, preprocessing)
    decoded = decoded_once(entry, decode)
    return Dataset(name, decoded.images, decoded.labels, decoded.class_names, decoded.files)


def is_decoded(source: Source, split: str, class_names: tuple[str, ...] | None) -> bool:
    """Whether :func:`load_class_folders` has kept these images, at their own size."""
    return find_decoded(_entry(source, split, None, class_folders(class_names))) is not None


def class_folders(
    class_names: tuple[str, ...] | None, held_out: HeldOut | None = None
) -> Arrangement:
    """The arrangement of folders by class."""

    def belongs(name: str, split: str) -> bool:
        folder = _split_folder(name)
        return folder in (*_FOLDERS[split], _ALONE) or (held_out is not None and folder is not None)

    facts = (*(class_names or ()), *(() if held_out is None else (str(held_out),)))
    return Arrangement(
        lambda source: find_class_folders(source, class_names, held_out), belongs, facts
    )


def _entry(
    source: Source,
    split: str,
    image_size: Size,
    arrangement: Arrangement,
    preprocessing: Preprocessing = OWN,
) -> Entry:
    how = (preprocessing.fit, preprocessing.resize, preprocessing.resized_to, preprocessing.order)
    made = (str(image_size), *map(str, how), _DECODING)
    what = (str(source.path.absolute()), split, *made, *arrangement.facts)
    return Entry(what, source.fingerprint(lambda file: arrangement.belongs(file, split)))


def has_class_folders(names: Iterable[str]) -> bool:
    """Whether these files look like train/CLASS/IMAGE."""
    return any(_split_folder(name) not in (None, _ALONE) for name in names)


def splits_of(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The files that look like train/CLASS/IMAGE or test/CLASS/IMAGE, by "train" and "test"."""
    found: dict[str, list[str]] = {}
    for name in names:
        folder = _split_folder(name)
        for split, folders in _FOLDERS.items():
            if folder in folders:
                found.setdefault(split, []).append(name)
    return {split: tuple(files) for split, files in found.items()}


def find_class_folders(
    source: Source, class_names: tuple[str, ...] | None, held_out: HeldOut | None = None
) -> ClassFiles:
    """The images of both splits by class. Raises InputError where the classes do not agree."""
    by_folder: dict[str, dict[str, list[str]]] = {}
    for name in source.names():
        folder = _split_folder(name)
        if folder is not None and may_be_picture(name):
            by_folder.setdefault(folder, {}).setdefault(name.split("/")[-2], []).append(name)
    chosen = {}
    alone = by_folder.pop(_ALONE, None)
    if alone and not by_folder:
        by_folder = {"test": alone, "train": {name: [] for name in alone}}
        if held_out is not None:
            by_folder = {"train": alone}
    splits_itself = held_out is None or set(by_folder) != {"train"}
    if held_out is not None and not splits_itself:
        by_folder = _held_out(by_folder["train"], held_out)
    for split, folders in _FOLDERS.items():
        found = [by_folder[folder] for folder in folders if folder in by_folder]
        if not found:
            raise InputError(
                f"'{source.path}' holds no images in {folders[0]}/CLASS/; arrange them as "
                "train/CLASS/IMAGE and test/CLASS/IMAGE"
                + ("" if held_out is None else ", or as CLASS/IMAGE alone")
            )
        chosen[split] = found[0]
    _check_classes(source, chosen, class_names)
    order = class_names or tuple(sorted(chosen["train"]))
    files = {
        split: tuple(tuple(sorted(classes[label], key=by_number)) for label in order)
        for split, classes in chosen.items()
    }
    return ClassFiles(order, files, splits_itself)


def _held_out(classes: dict[str, list[str]], held_out: HeldOut) -> dict[str, dict[str, list[str]]]:
    """Both splits of the images that are only for training."""
    sides = {name: held_out.of_class(name, files) for name, files in classes.items()}
    return {
        split: {name: parts[index] for name, parts in sides.items()}
        for index, split in enumerate(("train", "test"))
    }


def _split_folder(name: str) -> str | None:
    """Of train/CLASS/IMAGE and ANY/train/CLASS/IMAGE "train"; of CLASS/IMAGE _ALONE; else None."""
    parts = name.split("/")
    if len(parts) == 2:
        return _ALONE
    if len(parts) not in (3, 4) or not any(parts[-3] in group for group in _FOLDERS.values()):
        return None
    return parts[-3]


def _check_classes(
    source: Source, chosen: dict[str, dict[str, list[str]]], class_names: tuple[str, ...] | None
) -> None:
    train, test = set(chosen["train"]), set(chosen["test"])
    if train != test:
        only = "; ".join(
            f"only for {split}: {_listed(names)}"
            for split, names in (("training", train - test), ("testing", test - train))
            if names
        )
        raise InputError(
            f"'{source.path}' has {len(train)} classes for training and {len(test)} for testing, "
            f"which must be the same ({only})"
        )
    if class_names is not None and train != set(class_names):
        strange = sorted(train - set(class_names)) or sorted(set(class_names) - train)
        raise InputError(
            f"'{source.path}' has {len(train)} classes, which are not the {len(class_names)} of "
            f"this data set (the difference begins with '{strange[0]}'); for classes of your own "
            f"use the data set {NAME}"
        )
    if len(train) < 2:
        raise InputError(f"'{source.path}' has one class; a classifier needs two at least")


def _listed(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def by_number(name: str) -> list[str | int]:
    """Sort 10.jpg after 9.jpg."""
    parts = re.split(r"([0-9]+)", name)  # every second one is a number
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def _spread(classes: Sequence[Sequence[str]]) -> tuple[list[str], NDArray[np.int64]]:
    """Each class's files in order, at equal distances."""
    places = [
        ((2 * index + 1) / len(files), label, name)
        for label, files in enumerate(classes)
        for index, name in enumerate(files)
    ]
    places.sort(key=lambda place: place[:2])
    return [name for *_, name in places], np.array([label for _, label, _ in places], np.int64)


def _decode(
    source: Source,
    files: list[str],
    image_size: Size,
    preprocessing: Preprocessing,
    target: BinaryIO,
) -> tuple[int, int, int]:
    """Write the images to ``target``, each at its place in ``files``; returns their shape."""
    place = {name: index for index, name in enumerate(files)}
    shape: tuple[int, int, int] | None = None
    first = ""

    size = (image_size, image_size, 3) if isinstance(image_size, int) else image_size
    channels = 3 if size is None else size[2]

    def decoded(group: list[tuple[str, bytes]]) -> list[tuple[str, NDArray[np.uint8]]]:
        how = (size and size[:2], channels, preprocessing)
        return [(name, decode_picture(data, shown(source, name), *how)) for name, data in group]

    with large_pictures_refused(), ThreadPoolExecutor(os.cpu_count()) as pool:
        groups = _grouped(source.read(files), _TOGETHER)
        for some in _grouped(groups, os.cpu_count() or 1):  # bounds the memory they take
            for name, image in itertools.chain.from_iterable(pool.map(decoded, some)):
                if shape is None:
                    height, width, channels = image.shape
                    shape, first = (height, width, channels), name
                if image.shape != shape:
                    raise InputError(
                        f"{shown(source, name)} has {image.shape[1]}x{image.shape[0]} pixels, "
                        f"'{first}' {shape[1]}x{shape[0]}; give one image size to resize all to"
                    )
                target.seek(place[name] * image.size)
                target.write(image.tobytes())
    assert shape is not None  # there is no class without an image
    return shape


def _grouped(items: Iterable[_T], count: int) -> Iterator[list[_T]]:
    iterator = iter(items)
    while group := list(itertools.islice(iterator, count)):
        yield group
