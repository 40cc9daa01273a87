"""Which pictures a network is measured on, and which of its classes each of them shows."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bitat_deploy.bundle import Bundle
from bitat_deploy.datasets import (
    IMAGE_FOLDER,
    Dataset,
    HeldOut,
    dataset_names,
    dataset_shape,
    drawn_dataset,
    is_provided,
    load_dataset,
)
from bitat_deploy.errors import InputError

_NUMBERED = re.compile("class [0-9]+")


def bench_dataset(
    bundle: Bundle, data: Path | None, images: int | None, class_names: Sequence[str] = ()
) -> Dataset:
    """The first ``images`` pictures of ``data``, or of what the network was trained on.

    Where that is not known, or has to be given by the user, drawn pictures, which have no labels.
    The classes of a folder are found by name among the network's, or ``class_names``; without
    either, they are the network's in alphabetical order. Raises InputError, BuildError.
    """
    model = bundle.manifest.model
    name = model.metadata.get("dataset", IMAGE_FOLDER)
    if name not in dataset_names() or dataset_shape(name) is None:
        name = IMAGE_FOLDER
    if data is None and not is_provided(name):
        return drawn_dataset(model.input_shape, images)
    held_out, preprocessing = HeldOut.recorded(model.metadata), model.preprocessing
    dataset = load_dataset(name, "test", data, model.input_shape, held_out, preprocessing)
    if name == IMAGE_FOLDER:
        outputs = bundle.manifest.layers[-1].output_shape[-1]
        dataset = _with_networks_classes(dataset, class_names or model.class_names, outputs)
    elif preprocessing.fit == "middle" or preprocessing.resized_to is not None:
        dataset = dataset.middle(*model.input_shape[:2])  # of a data set of one size
    return dataset.first(images)


def _with_networks_classes(dataset: Dataset, names: Sequence[str], outputs: int) -> Dataset:
    """A folder's pictures with labels that count the network's classes."""
    if not names or all(map(_NUMBERED.fullmatch, names)):
        classes = len(names) or outputs
        if len(dataset.class_names) == classes:
            return dataset
        raise InputError(
            f"'{dataset.name}' has {len(dataset.class_names)} classes, the network {classes} "
            "without names, so that it is not known which is which; give their names with "
            "--classes FILE"
        )
    places = []
    for folder in dataset.class_names:
        count = list(names).count(folder)
        if count != 1:
            what = "none" if count == 0 else f"{count}"
            raise InputError(
                f"of the network's {len(names)} classes {what} is called '{folder}', as a folder "
                "of pictures is; rename the folder, or give the names with --classes FILE"
            )
        places.append(list(names).index(folder))
    labels = np.array(places, np.int64)[dataset.labels]
    return replace(dataset, labels=labels, class_names=tuple(names))
