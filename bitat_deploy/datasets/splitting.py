"""Which images are for training, for validation and for testing, decided by their files' names."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.datasets.dataset import Dataset
from bitat_deploy.errors import InputError

DEFAULT_SHARE = 0.2


@dataclass(frozen=True)
class HeldOut:
    """The images that are for testing where a folder has none of its own: ``share`` of each class.

    An image belongs to them by a hash of its class and name, so it still does when others are added
    or removed. Images of a class in whose file names ``group``, a regular expression, finds the
    same text are on one side as a whole; of an expression with parentheses the text in the first
    ones counts.
    """

    share: float = DEFAULT_SHARE
    group: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"the share of test images must be between 0 and 1, not {self.share}")
        if self.group is not None:
            check_pattern("the group pattern", self.group)

    @classmethod
    def recorded(cls, metadata: Mapping[str, str]) -> "HeldOut | None":
        """What :meth:`metadata` wrote, None where there is nothing that makes sense."""
        try:
            return cls(float(metadata["test_share"]), metadata.get("group"))
        except (KeyError, ValueError, InputError):
            return None

    def metadata(self) -> dict[str, str]:
        """For a network's file, so that it is never measured on images that it was trained on."""
        group = {} if self.group is None else {"group": self.group}
        return {"test_share": str(self.share), **group}

    def of_class(self, name: str, files: Sequence[str]) -> tuple[list[str], list[str]]:
        """The training and test images among a class's ``files``, in their order.

        About the share, but one group at least on each side. Raises InputError for a class of
        one group, and where the pattern finds nothing in a name.
        """
        groups = [group_text(self.group, file.rpartition("/")[2]) for file in files]
        places = {group: _place(name, group) for group in groups}
        if len(places) < 2:
            what = "image" if self.group is None else "group of images"
            raise InputError(
                f"class '{name}' has one {what}, which cannot be for training and for testing; add "
                "more, or leave the class out"
            )
        order = sorted(places, key=lambda group: places[group])
        test = {group for group in order[:-1] if places[group] < self.share} | {order[0]}
        sides: tuple[list[str], list[str]] = ([], [])
        for file, group in zip(files, groups, strict=True):
            sides[group in test].append(file)
        return sides


def check_pattern(name: str, pattern: str) -> None:
    """Raise InputError where the ``pattern`` called ``name`` is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise InputError(f"{name} is no regular expression: {error}") from error


def group_text(pattern: str | None, file: str) -> str:
    """The group of a file by its name, without folders; the name itself without a pattern."""
    if pattern is None:
        return file
    found = re.search(pattern, file)
    if found is None:
        raise InputError(f"the group pattern '{pattern}' finds nothing in the file name '{file}'")
    return (found[1] if found.re.groups else None) or found[0]


def split_validation(dataset: Dataset, images: int, group: str | None) -> tuple[Dataset, Dataset]:
    """Training and validation images: ``images`` from the end, where groups are taken whole.

    Raises InputError where an image's file name has no group.
    """
    if group is None:
        boundary = max(len(dataset.labels) - images, 0)
        return _part(dataset, slice(boundary)), _part(dataset, slice(boundary, None))
    held = _last_groups(_groups(dataset, group), dataset.labels, images)
    return _part(dataset, ~held), _part(dataset, held)


def _part(dataset: Dataset, which: slice | NDArray[np.bool_]) -> Dataset:
    numbers = np.arange(len(dataset.files))[which]
    return replace(
        dataset,
        images=dataset.images[which],
        labels=dataset.labels[which],
        files=tuple(dataset.files[number] for number in numbers),
    )


def _groups(dataset: Dataset, pattern: str) -> NDArray[np.int64]:
    """The number of each image's group, within its class."""
    if not dataset.files:
        raise InputError(f"groups are of images in files of their own, not of {dataset.name}")
    numbers: dict[tuple[int, str], int] = {}
    groups = np.empty(len(dataset.files), np.int64)
    for index, (file, label) in enumerate(zip(dataset.files, dataset.labels, strict=True)):
        groups[index] = numbers.setdefault((int(label), group_text(pattern, file)), len(numbers))
    return groups


def _last_groups(
    groups: NDArray[np.int64], labels: NDArray[np.int64], wanted: int
) -> NDArray[np.bool_]:
    """The images of the last ``groups`` [N], ``wanted`` or more; the first of each class stays."""
    _, firsts = np.unique(labels, return_index=True)
    seen, held = set(groups[firsts].tolist()), []
    count, sizes = 0, np.bincount(groups)
    for group in groups[::-1].tolist():
        if count >= wanted:
            break
        if group not in seen:
            seen.add(group)
            held.append(group)
            count += int(sizes[group])
    return np.isin(groups, held)


def _place(name: str, group: str) -> float:
    """From 0 to 1, by chance but always the same."""
    digest = hashlib.sha256(f"{name}/{group}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
