"""Pictures without labels, in folders of any kind: what a network is calibrated on."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bitat_deploy.datasets.image_folder import splits_of
from bitat_deploy.datasets.pictures import decode_picture, large_pictures_refused
from bitat_deploy.datasets.source import open_source, shown
from bitat_deploy.errors import InputError


def photo_splits(path: Path) -> dict[str, tuple[str, ...]]:
    """The pictures in a folder or tar archive, however deep, by their file names' ends.

    "any" are all; "train" and "test" those of train/CLASS/IMAGE and test/CLASS/IMAGE, where there
    are such. Raises InputError where there is no such path.
    """
    names = open_source(path).names()
    known = Image.registered_extensions()
    names = tuple(name for name in names if PurePosixPath(name).suffix.lower() in known)
    return {"any": names, **splits_of(names)}


def load_photos(
    path: Path, names: Sequence[str], shape: tuple[int, int, int], count: int, seed: int
) -> NDArray[np.uint8]:
    """At most ``count`` of the pictures ``names``, drawn at random: uint8 [N, H, W, C].

    The middle of each is resized to ``shape`` (H, W, C), as :mod:`.image_folder` does. Raises
    InputError for a file that is not a picture.
    """
    source = open_source(path)
    order = np.random.default_rng(seed).permutation(len(names))[:count]
    place = {names[index]: position for position, index in enumerate(order)}
    if not place:
        raise InputError(f"'{path}' holds no pictures; give a folder or a tar archive of some")
    photos = np.empty((len(place), *shape), np.uint8)
    with large_pictures_refused():
        for name, content in source.read(list(place)):
            photos[place[name]] = decode_picture(content, shown(source, name), shape[:2], shape[2])
    return photos
