"""Data sets, and single pictures, as numpy arrays, without torch."""

from bitat_deploy.datasets.dataset import Dataset
from bitat_deploy.datasets.drawn import drawn_dataset, drawn_pictures
from bitat_deploy.datasets.folder_survey import FolderSurvey, survey_folder
from bitat_deploy.datasets.image_folder import NAME as IMAGE_FOLDER
from bitat_deploy.datasets.photos import load_photos, photo_splits
from bitat_deploy.datasets.pictures import load_picture
from bitat_deploy.datasets.registry import (
    dataset_names,
    dataset_shape,
    is_provided,
    load_dataset,
)
from bitat_deploy.datasets.splitting import (
    DEFAULT_SHARE,
    HeldOut,
    check_pattern,
    split_validation,
)

__all__ = [
    "DEFAULT_SHARE",
    "IMAGE_FOLDER",
    "Dataset",
    "FolderSurvey",
    "HeldOut",
    "check_pattern",
    "dataset_names",
    "dataset_shape",
    "drawn_dataset",
    "drawn_pictures",
    "is_provided",
    "load_dataset",
    "load_photos",
    "load_picture",
    "photo_splits",
    "split_validation",
    "survey_folder",
]
