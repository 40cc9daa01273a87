"""Sources of a data set's files: a folder, or a tar archive that is read without unpacking it."""

import functools
import hashlib
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Protocol

from bitat_deploy.errors import InputError

FILE_NAME_BYTES = ("utf-8", "surrogateescape")  # any file name, UTF-8 or not
_LARGEST_FILE = 1 << 30  # bytes; protects against archives made to fill the memory


class Source(Protocol):
    """Files by name: paths relative to ``path``, joined by "/", without hidden ones."""

    path: Path

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Name and content of the files ``names``, each once, in any order."""

    def fingerprint(self, chosen: Callable[[str], bool]) -> str:
        """A text that changes with the name, size or time of any ``chosen`` file."""


def open_source(path: Path) -> Source:
    """The source at ``path``. Raises InputError if it is neither a folder nor a tar archive."""
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise InputError(f"the data set '{path}' does not exist; give a folder or a tar archive")
    if not path.is_file():
        raise InputError(f"the data set '{path}' is neither a folder nor a plain file")
    return ArchiveSource(path)


def shown(source: Source, name: str) -> str:
    """The file ``name`` as it is called in messages."""
    if isinstance(source, FolderSource):
        return f"'{source.path / name}'"
    return f"'{name}' in '{source.path}'"


class FolderSource:
    """A folder with its subfolders, as when first listed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> tuple[str, ...]:
        """All names, sorted. Raises InputError for a folder that cannot be listed."""
        return self._names

    @functools.cached_property
    def _names(self) -> tuple[str, ...]:
        try:
            return tuple(sorted(_walk(str(self.path), "", set())))
        except OSError as error:
            raise InputError(f"'{error.filename}' cannot be listed: {error.strerror}") from error

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Contents in the order of ``names``. Raises InputError for an unreadable file."""
        for name in names:
            file = self.path / name
            try:
                yield name, file.read_bytes()
            except OSError as error:
                raise InputError(f"'{file}' cannot be read: {error.strerror}") from error

    def fingerprint(self, chosen: Callable[[str], bool]) -> str:
        """Checksum of names, sizes and times."""
        digest = hashlib.sha256()
        for name in filter(chosen, self.names()):
            try:
                status = (self.path / name).stat()
            except OSError as error:
                raise InputError(
                    f"'{self.path / name}' cannot be read: {error.strerror}"
                ) from error
            digest.update(
                f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(*FILE_NAME_BYTES)
            )
        return digest.hexdigest()


class ArchiveSource:
    """A tar archive, compressed or not; only its regular files, not links or devices."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> tuple[str, ...]:
        """All names, sorted. Raises InputError for a damaged archive."""
        return _archive_names(self.path, self._state())

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Contents in the archive's order, in one pass. Raises InputError as :meth:`names`."""
        wanted = set(names)
        for name, member, archive in _members(self.path):
            if name not in wanted:
                continue
            wanted.remove(name)
            if member.size > _LARGEST_FILE:
                raise InputError(f"'{name}' in '{self.path}' is larger than 1 GiB")
            file = archive.extractfile(member)
            content = b"" if file is None else file.read()
            if len(content) != member.size:
                raise InputError(f"'{self.path}' is truncated at '{name}'")
            yield name, content
            if not wanted:
                return

    def fingerprint(self, chosen: Callable[[str], bool]) -> str:
        """Checksum of the archive's own size and time, as its files cannot change without it."""
        return hashlib.sha256(repr(self._state()).encode()).hexdigest()

    def _state(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_size, status.st_mtime_ns


def _walk(folder: str, prefix: str, above: set[tuple[int, int]]) -> Iterator[str]:
    status = Path(folder).stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        raise InputError(f"the folder '{folder}' contains itself through a link")
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/", above | {identity})
            elif entry.is_file():
                yield prefix + entry.name


# Training and test images are loaded one after the other; an archive is listed once for both.
@functools.lru_cache(maxsize=2)
def _archive_names(path: Path, _state: tuple[int, int]) -> tuple[str, ...]:
    return tuple(sorted({name for name, _, _ in _members(path)}))


def _members(path: Path) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    try:
        # "|" reads the archive as a stream: random access would decompress it again and again.
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isreg() and not any(part.startswith(".") for part in name.split("/")):
                    yield name, member, archive
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
        raise InputError(
            f"'{path}' is not a tar archive that can be read, or is truncated"
        ) from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error
