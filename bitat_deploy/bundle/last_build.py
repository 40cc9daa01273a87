"""The last build, which ``bench`` uses if no bundle is named."""

import os
from pathlib import Path

from bitat_deploy.errors import InputError
from bitat_deploy.files import whole_file
from bitat_deploy.paths import cache_directory


def remember_last_build(directory: Path) -> None:
    """Record ``directory`` as the last build."""
    record = _record()
    record.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(record) as file:
        file.write(os.fsencode(directory.resolve()) + b"\n")


def last_build() -> Path:
    """Folder of the last build. Raises InputError if there is none."""
    try:
        directory = Path(os.fsdecode(_record().read_bytes().rstrip(b"\n")))
    except FileNotFoundError as error:
        raise InputError(
            "there is no build yet; 'bitat-deploy build --target NAME' makes one, "
            "or name the bundle's folder"
        ) from error
    if not directory.is_dir():
        raise InputError(
            f"the last build, '{directory}', is gone; build again or name another bundle"
        )
    return directory


def _record() -> Path:
    return cache_directory() / "last-build"
