"""Data sets by name."""

from pathlib import Path

from bitat_deploy.datasets.dataset import Dataset
from bitat_deploy.datasets.fashion_mnist import load_fashion_mnist
from bitat_deploy.errors import InputError

_LOADERS = {"fashion-mnist": load_fashion_mnist}


def dataset_names() -> list[str]:
    """Names :func:`load_dataset` knows, sorted."""
    return sorted(_LOADERS)


def load_dataset(name: str, split: str, path: Path | None = None) -> Dataset:
    """Load ``split`` ("train" or "test") of the data set ``name``.

    ``path`` is a folder with the data set's files; without it the cache, the system's packages
    and a download are tried in turn. Raises InputError (unknown name, damaged files) or
    BuildError (download failed).
    """
    if name not in _LOADERS:
        raise InputError(f"unknown data set '{name}'; choose one of: {', '.join(dataset_names())}")
    return _LOADERS[name](split, path)
