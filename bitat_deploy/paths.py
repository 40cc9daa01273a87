"""Folders for this program's files on the user's machine: XDG base directories."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """Files that can be fetched or built again: data sets, runtime libraries, the last build."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "bitat-deploy"


def data_directory() -> Path:
    """The user's own files, which cannot be fetched again: tuning records."""
    root = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(root) / "bitat-deploy"
