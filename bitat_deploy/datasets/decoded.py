"""Decoded images on disk, so that JPEG is decoded once and not in every epoch.

An entry is a folder in the cache with images.bin (uint8, [N, H, W, C] in order), labels.npy and
facts.json. Its name says what was decoded and in which state: changed files make a new entry,
which replaces the old one.
"""

import errno
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.datasets.source import FILE_NAME_BYTES
from bitat_deploy.errors import BuildError, InputError
from bitat_deploy.files import lock_file, whole_folder
from bitat_deploy.paths import cache_directory
from bitat_deploy.plain_values import build_record


@dataclass(frozen=True, eq=False)
class Decoded:
    """``images`` uint8 [N, H, W, C], mapped from disk; ``labels`` int64 [N]; names of files."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Facts:
    """What an entry holds besides its images."""

    shape: tuple[int, int, int]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class _Kept:
    """facts.json."""

    shape: tuple[int, int, int, int]
    class_names: tuple[str, ...]
    files: tuple[str, ...]

    def is_whole(self, labels: NDArray[np.int64], size: int) -> bool:
        """Whether there is a label and a file for each image, and nothing is missing or left."""
        number = self.shape[0]
        sound = labels.dtype == np.int64 and labels.shape == (number,) and len(self.files) == number
        in_range = sound and number and 0 <= labels.min() <= labels.max() < len(self.class_names)
        return bool(in_range) and min(self.shape) > 0 and math.prod(self.shape) == size


@dataclass(frozen=True)
class Entry:
    """``what`` was decoded, and the ``fingerprint`` of the state it was in."""

    what: tuple[str, ...]
    fingerprint: str

    @property
    def subject(self) -> str:
        """Common to the entries of all states."""
        return hashlib.sha256("\0".join(self.what).encode(*FILE_NAME_BYTES)).hexdigest()[:16]

    @property
    def path(self) -> Path:
        """The entry's folder."""
        return _folder() / f"{self.subject}-{self.fingerprint[:16]}"


def find_decoded(entry: Entry) -> Decoded | None:
    """What is kept for ``entry``, or None where it is missing or not whole."""
    try:
        facts = json.loads((entry.path / "facts.json").read_text())
        labels = np.load(entry.path / "labels.npy", allow_pickle=False)
        kept = build_record(_Kept, facts, "facts")
        if not kept.is_whole(labels, (entry.path / "images.bin").stat().st_size):
            return None
        # "c": writable as torch wants it, but the file stays as it is.
        images = np.memmap(entry.path / "images.bin", np.uint8, "c", shape=kept.shape)
        return Decoded(images, labels, kept.class_names, kept.files)
    except (OSError, ValueError, RecursionError, InputError):
        return None


def decoded_once(entry: Entry, decode: Callable[[BinaryIO], Facts]) -> Decoded:
    """What is kept for ``entry``; where there is nothing, ``decode`` makes it.

    ``decode`` gets the open file for the images. Another process that wants the same entry waits.
    Raises BuildError when the disk is full or the cache cannot be written.
    """
    if (found := find_decoded(entry)) is not None:
        return found
    folder = _folder()
    with _disk_errors_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{entry.subject}.lock"):
            if (found := find_decoded(entry)) is not None:
                return found
            _write(entry.path, decode)
            for old in folder.glob(f"{entry.subject}-*"):
                if old != entry.path:  # a process that still reads it keeps its mapping
                    shutil.rmtree(old, ignore_errors=True)
    found = find_decoded(entry)
    if found is None:
        raise BuildError(f"the decoded images in '{entry.path}' are damaged; delete that folder")
    return found


def _folder() -> Path:
    return cache_directory() / "datasets" / "decoded"


def _write(entry: Path, decode: Callable[[BinaryIO], Facts]) -> None:
    with whole_folder(entry, "unfinished-") as beside:
        with (beside / "images.bin").open("wb") as file:
            facts = decode(file)
        np.save(beside / "labels.npy", facts.labels)
        document = {
            "shape": [len(facts.labels), *facts.shape],
            "class_names": facts.class_names,
            "files": facts.files,
        }
        (beside / "facts.json").write_text(json.dumps(document))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        lock_file(file)
        yield


@contextmanager
def _disk_errors_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BuildError(
                f"the disk is full while decoding images into '{folder}'; make room, or set "
                "XDG_CACHE_HOME to a larger disk"
            ) from error
        raise BuildError(
            f"decoded images cannot be kept in '{folder}': {error.strerror or error}; set "
            "XDG_CACHE_HOME to a folder you can write"
        ) from error
