"""Data sets as numpy arrays; nothing here needs torch."""

from bitat_deploy.datasets.dataset import Dataset
from bitat_deploy.datasets.registry import dataset_names, dataset_shape, load_dataset

__all__ = ["Dataset", "dataset_names", "dataset_shape", "load_dataset"]
