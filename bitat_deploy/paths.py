"""Where this program keeps its files on the user's machine: XDG base directories."""

import os
from pathlib import Path

from bitat_deploy.errors import BuildError


def cache_directory() -> Path:
    """Files that can be fetched or built again: data sets, runtime libraries, the last build.

    Raises BuildError where the user has no folder for them.
    """
    return _directory("XDG_CACHE_HOME", ".cache")


def data_directory() -> Path:
    """Files of the user's own that cannot be fetched again: tuning records. Raises BuildError."""
    return _directory("XDG_DATA_HOME", ".local/share")


def _directory(variable: str, usual: str) -> Path:
    """The folder that a variable names, if by an absolute path, else the usual one at home."""
    named = Path(os.environ.get(variable, ""))
    if named.is_absolute():
        return named / "bitat-deploy"
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry in the system's list of users
        home = Path()
    if not home.is_absolute():
        raise BuildError(
            f"this user has no home folder; set HOME, or {variable}, to a folder that can be "
            "written to"
        )
    return home / usual / "bitat-deploy"
