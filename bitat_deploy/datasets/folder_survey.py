"""What a folder of photos by class holds, found without decoding it."""

import io
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from bitat_deploy.datasets.image_folder import find_class_folders
from bitat_deploy.datasets.pictures import may_be_picture
from bitat_deploy.datasets.source import open_source
from bitat_deploy.datasets.splitting import HeldOut

_SAMPLE = 64  # pictures whose size is looked at


@dataclass(frozen=True)
class FolderSurvey:
    """``class_names`` with the numbers of ``training`` and ``test`` images of each.

    ``side`` is the median of the shorter sides of a sample, in pixels. ``splits_itself`` says
    whether the folder has test images of its own. ``left_out`` counts the files that are no
    pictures, by the end of their names.
    """

    class_names: tuple[str, ...]
    training: tuple[int, ...]
    test: tuple[int, ...]
    side: int
    splits_itself: bool
    left_out: dict[str, int]


def survey_folder(path: Path, held_out: HeldOut) -> FolderSurvey:
    """Look at train/CLASS/IMAGE and test/CLASS/IMAGE, or at CLASS/IMAGE and what is held out.

    ``path`` is a folder or a tar archive. Raises InputError where it holds no images in at least
    two classes, or none of a sample is a picture.
    """
    source = open_source(path)
    names = source.names()
    found = find_class_folders(source, None, held_out)
    training, test = (found.files[split] for split in ("train", "test"))
    paths = [name for files in (*training, *test) for name in files]
    step = max(len(paths) // _SAMPLE, 1)
    sides = []
    for _, content in source.read(paths[::step]):
        try:
            with Image.open(io.BytesIO(content)) as picture:
                sides.append(min(picture.size))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # decoding names it
    endings = Counter(
        PurePosixPath(name).suffix.lower() for name in names if not may_be_picture(name)
    )
    return FolderSurvey(
        found.class_names,
        tuple(map(len, training)),
        tuple(map(len, test)),
        int(statistics.median(sides or [1])),
        found.splits_itself,
        dict(endings),
    )
