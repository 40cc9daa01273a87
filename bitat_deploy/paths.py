"""Where this program keeps its files on the user's machine: XDG base directories."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """Files that can be fetched or built again: data sets, runtime libraries, the last build."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "bitat-deploy"
