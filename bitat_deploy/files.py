"""Files that appear whole or not at all, and folders that nobody has to clear away."""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

_LOCK = ".lock"
_FRESH = 60.0  # seconds in which a folder may not have its lock yet


@contextmanager
def scratch_folder(parent: Path | None = None, prefix: str = "bitat-deploy-") -> Iterator[Path]:
    """A folder in ``parent``, or the system's folder for such, that is removed after the block.

    Those of the same ``prefix`` that killed programs left there are removed too. It has a file
    ``.lock``, which is locked for as long as its program lives. Raises OSError.
    """
    parent = parent or Path(tempfile.gettempdir())
    _remove_abandoned(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        with (folder / _LOCK).open("wb") as lock:
            lock_file(lock)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of ``path`` when the block ends without an error.

    It is written beside ``path``, whose folder must exist, so that a kill at any moment leaves
    what was there before. Raises OSError.
    """
    with scratch_folder(path.parent, ".unfinished-") as folder:
        unfinished = folder / "file"
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)


@contextmanager
def whole_folder(path: Path, prefix: str) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``path`` when the block ends without an error.

    It is made beside ``path``, as :func:`scratch_folder` makes those of a ``prefix``. Raises
    OSError.
    """
    with scratch_folder(path.parent, prefix) as workspace:
        unfinished = workspace / "new"
        unfinished.mkdir()
        yield unfinished
        with contextlib.suppress(FileNotFoundError):
            path.rename(workspace / "old")
        unfinished.rename(path)


def lock_file(file: IO[Any], *, wait: bool = True) -> None:
    """Lock an open file against other programs that lock it, until it is closed.

    Raises BlockingIOError where another one has it and we do not ``wait``.
    """
    import fcntl  # there is none on Windows, where we end with a sentence before

    fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_room(folder: Path, size: int) -> None:
    """Raise OSError where ``size`` bytes cannot be written in ``folder``.

    For those who write without a way to fail: LLVM ends the program when the disk is full.
    """
    try:
        if not hasattr(os, "posix_fallocate"):  # on macOS
            if shutil.disk_usage(folder).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove our folders in ``parent`` whose program is gone, as far as that is possible."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    if _is_abandoned(entry):
                        shutil.rmtree(entry.path, ignore_errors=True)


def _is_abandoned(folder: "os.DirEntry[str]") -> bool:
    status = folder.stat(follow_symlinks=False)
    if status.st_uid != os.geteuid() or time.time() - status.st_mtime < _FRESH:
        return False
    try:
        with (Path(folder.path) / _LOCK).open("rb") as lock:
            lock_file(lock, wait=False)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True
