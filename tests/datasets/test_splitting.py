"""Splitting a folder of photos by itself."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitat_deploy.datasets import HeldOut, load_dataset, survey_folder
from bitat_deploy.errors import InputError
from tests.datasets.cifar_files import archive, write_class_folders


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def photos(folder: Path, count: int, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Every picture has a colour of its own, so that it can be told where it went."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            colour = (label, index // 4, index % 4)
            Image.new("RGB", (8, 6), colour).save(
                folder / name / f"{index // 4:03}_{index % 4}.png"
            )
    return folder


def colours(path: Path, split: str, held_out: HeldOut) -> set[tuple[int, ...]]:
    images = load_dataset("image-folder", split, path, 4, held_out).images
    return {tuple(image[0, 0].tolist()) for image in images}


@pytest.mark.parametrize("inside", ["", "train"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_without_test_images_splits_by_itself(
    inside: str, packed: bool, tmp_path: Path
) -> None:
    photos(tmp_path / "data" / inside, 100)
    path = archive(tmp_path / "data", tmp_path / "data.tar") if packed else tmp_path / "data"
    train, test = (colours(path, split, HeldOut(0.3)) for split in ("train", "test"))
    assert not train & test
    assert len(train | test) == 200
    for label in (0, 1):
        assert 15 <= sum(colour[0] == label for colour in test) <= 45
    other = colours(path, "test", HeldOut(0.1))
    assert other < test  # decided for each image by itself


def test_an_image_stays_on_its_side_when_others_come(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data", 40)
    before = colours(folder, "test", HeldOut())
    photos(tmp_path / "more", 80)
    for name in ("cat", "dog"):
        for file in (tmp_path / "more" / name).iterdir():
            file.rename(folder / name / file.name)
    after = colours(folder, "test", HeldOut())
    assert {colour for colour in after if colour[1] < 10} == before


@pytest.mark.parametrize("pattern", [r"^\d+", r"(\d+)_\d"])
def test_groups_are_on_one_side(pattern: str, tmp_path: Path) -> None:
    folder = photos(tmp_path / "data", 60)
    held_out = HeldOut(0.2, pattern)
    train, test = (colours(folder, split, held_out) for split in ("train", "test"))
    assert not {colour[:2] for colour in train} & {colour[:2] for colour in test}
    assert len(train) + len(test) == 120


def test_small_classes_have_images_on_both_sides(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data", 2, tuple("abcdefgh"))
    train, test = (colours(folder, split, HeldOut(0.01)) for split in ("train", "test"))
    assert len(train) == len(test) == 8
    train, test = (colours(folder, split, HeldOut(0.99)) for split in ("train", "test"))
    assert len(train) == len(test) == 8
    with pytest.raises(InputError, match="class 'a' has one group of images, which cannot be for"):
        load_dataset("image-folder", "test", folder, 4, HeldOut(group=r"^\d+"))


def test_own_test_images_are_left_as_they_are(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data")
    for split in ("train", "test"):
        with_share = load_dataset("image-folder", split, folder, None, HeldOut())
        assert (with_share.images == load_dataset("image-folder", split, folder).images).all()
    assert survey_folder(folder, HeldOut()).splits_itself


def test_a_bad_pattern_or_share(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data", 4)
    with pytest.raises(InputError, match=r"'x\$' finds nothing in the file name '000_0\.png'"):
        load_dataset("image-folder", "test", folder, 4, HeldOut(group="x$"))
    with pytest.raises(InputError, match="no regular expression"):
        HeldOut(group="(")
    with pytest.raises(InputError, match="between 0 and 1, not 1"):
        HeldOut(1.0)


def test_survey(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data", 20)
    (folder / "cat" / "labels.csv").write_text("no picture")
    (folder / "dog" / "IMG_1.HEIC").write_bytes(b"a kind that Pillow does not read")
    (folder / "dog" / "broken.jpg").write_bytes(b"")
    found = survey_folder(folder, HeldOut())
    assert found.class_names == ("cat", "dog")
    assert np.add(found.training, found.test).tolist() == [20, 21]
    assert (found.side, found.splits_itself) == (6, False)
    assert found.left_out == {".csv": 1, ".heic": 1}
    with pytest.raises(InputError, match=r"broken\.jpg' cannot be read as a picture"):
        for split in ("train", "test"):
            colours(folder, split, HeldOut())
