"""GTSRB, the German Traffic Sign Recognition Benchmark (Stallkamp et al., 2012): 43 classes.

Read as its archives unpack (Final_Training/Images/CLASS/TRACK_FRAME.ppm, Final_Test/Images/*.ppm
and the .csv with the test images' classes), and as folders of any picture format by the classes'
numbers, for one or both of the splits.
"""

import csv
import io
import re
from pathlib import Path

from bitat_deploy.datasets.dataset import Dataset
from bitat_deploy.datasets.image_folder import (
    Arrangement,
    ClassFiles,
    Size,
    by_number,
    load_pictures,
)
from bitat_deploy.datasets.source import Source, open_source, shown
from bitat_deploy.errors import InputError
from bitat_deploy.network import OWN, Preprocessing

NAME = "gtsrb"
DEFAULT_SIZE = 32  # pixels; the frames have 15 to 250
CLASS_NAMES = (
    "speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70",
    "speed limit 80", "end of speed limit 80", "speed limit 100", "speed limit 120", "no passing",
    "no passing for trucks", "right of way at the next crossing", "priority road", "yield", "stop",
    "no vehicles", "no trucks", "no entry", "danger", "bend to the left", "bend to the right",
    "double bend", "bumpy road", "slippery road", "road narrows on the right", "road works",
    "traffic signals", "pedestrians", "children", "bicycles", "ice or snow", "wild animals",
    "end of all limits", "turn right ahead", "turn left ahead", "straight on only",
    "straight on or right", "straight on or left", "keep right", "keep left", "roundabout",
    "end of no passing", "end of no passing for trucks",
)  # fmt: skip
_HOME = "https://benchmark.ini.rub.de/gtsrb_news.html"
_PICTURE = re.compile(r"\.(ppm|png|jpe?g)$", re.IGNORECASE)
_SPLITS = {
    split: re.compile(f"(^|[/_]){split}[^/]*/", re.IGNORECASE)  # a folder such as Final_Test
    for split in ("train", "test")
}


def load_gtsrb(
    split: str,
    path: Path | None,
    image_size: Size,
    preprocessing: Preprocessing = OWN,
) -> Dataset:
    """Load ``split``: each frame as ``preprocessing`` makes it, uint8 [N, H, W, C].

    Without ``image_size`` 32 pixels. Raises InputError for missing or unsuitable files.
    """
    if path is None:
        raise InputError(
            f"the data set {NAME} needs --data: the folder where its archives from {_HOME} were "
            "unpacked, or a tar archive of it"
        )
    size = image_size or DEFAULT_SIZE
    arrangement = Arrangement(_find, _belongs, CLASS_NAMES)
    return load_pictures(NAME, open_source(path), split, size, arrangement, preprocessing)


def _belongs(name: str, split: str) -> bool:
    """Whether a file tells of the split: its pictures, and any list of classes."""
    return name.endswith(".csv") or (
        _PICTURE.search(name) is not None and _SPLITS[split].search(name) is not None
    )


def _find(source: Source) -> ClassFiles:
    """The pictures by class; those in no folder of a class's number are looked up in the lists."""
    pictures = [name for name in source.names() if _PICTURE.search(name)]
    listed = _listed_classes(source)
    files: dict[str, tuple[tuple[str, ...], ...]] = {}
    for split, pattern in _SPLITS.items():
        classes: list[list[str]] = [[] for _ in CLASS_NAMES]
        for name in pictures:
            if pattern.search(name):
                classes[_class_of(source, name, listed)].append(name)
        if not any(classes):
            raise InputError(
                f"'{source.path}' holds no {split} images of {NAME}: unpack its archives there, so "
                "that it has Final_Training/Images, Final_Test/Images and GT-final_test.csv"
            )
        files[split] = tuple(tuple(sorted(found, key=by_number)) for found in classes)
    return ClassFiles(CLASS_NAMES, files)


def _class_of(source: Source, name: str, listed: dict[str, int]) -> int:
    folder, _, file = name.rpartition("/")
    folder = folder.rpartition("/")[2]
    number = int(folder) if folder.isdecimal() else listed.get(file)
    if number is None:
        raise InputError(
            f"no .csv file in '{source.path}' has the class of '{name}': put GT-final_test.csv "
            f"there, from {_HOME}"
        )
    if not 0 <= number < len(CLASS_NAMES):
        raise InputError(
            f"{shown(source, name)} is of class {number}, {NAME} has 0 to {len(CLASS_NAMES) - 1}: "
            "another data set, or damaged"
        )
    return number


def _listed_classes(source: Source) -> dict[str, int]:
    """Classes by the pictures' file names, of all lists that are not a class's own."""
    lists = [
        name
        for name in source.names()
        if name.endswith(".csv") and not name.rpartition("/")[0].rpartition("/")[2].isdecimal()
    ]
    classes: dict[str, int] = {}
    for name, content in source.read(lists):
        try:
            classes |= _classes_in(content.decode("utf-8-sig", "replace"))
        except (csv.Error, ValueError) as error:
            raise InputError(f"{shown(source, name)} is damaged: {error}") from error
    return classes


def _classes_in(text: str) -> dict[str, int]:
    """The classes of one list. Raises csv.Error, or ValueError naming the line."""
    head = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in head else ",")
    fields = set(rows.fieldnames or ())
    column = next((field for field in ("Filename", "Path") if field in fields), None)
    if column is None or "ClassId" not in fields:
        return {}  # the test images' list as it was before the answers were published
    classes: dict[str, int] = {}
    for row in rows:
        try:
            classes[row[column].rpartition("/")[2]] = int(row["ClassId"])
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"line {rows.line_num} has no {column} or no class") from error
    return classes
