"""Writing files atomically."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces ``path`` when the block ends without an error.

    It is written beside ``path``, whose folder must exist; until then ``path`` is unchanged, even
    if the process is killed. Raises OSError.
    """
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=path.parent) as folder:
        unfinished = Path(folder) / "file"
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
