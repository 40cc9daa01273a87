import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitat_deploy.datasets import dataset_shape, load_dataset
from bitat_deploy.errors import InputError

HEAD = ["Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId"]
TRACKS = {0: 1, 3: 2, 42: 3}  # by class, three frames each
TESTED = (42, 0, 3, 3)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def save_frame(path: Path, number: int) -> None:
    """A frame whose colour is its number, of a size of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20 + number % 7, 25), (number, 0, 255 - number)).save(path)


def csv_text(rows: list[tuple[str, int]], delimiter: str = ";") -> str:
    lines = [HEAD] + [[name, "20", "25", "1", "1", "18", "22", str(label)] for name, label in rows]
    return "\n".join(delimiter.join(line) for line in lines) + "\n"


def write_original(folder: Path) -> Path:
    """As the archives unpack, with the answers of the test images beside."""
    number = 0
    for label, tracks in TRACKS.items():
        inner = folder / "GTSRB" / "Final_Training" / "Images" / f"{label:05}"
        names = [f"{track:05}_{frame:05}.ppm" for track in range(tracks) for frame in range(3)]
        for name in names:
            save_frame(inner / name, number)
            number += 1
        rows = [(name, 7) for name in names]  # the folder's name is what counts
        (inner / f"GT-{label:05}.csv").write_text(csv_text(rows))
    test = folder / "GTSRB" / "Final_Test" / "Images"
    for index in range(len(TESTED)):
        save_frame(test / f"{index:05}.ppm", 100 + index)
    (test / "GT-final_test.test.csv").write_text("Filename;Width\n00000.ppm;20\n")
    rows = [(f"{index:05}.ppm", label) for index, label in enumerate(TESTED)]
    (folder / "GT-final_test.csv").write_text(csv_text(rows))
    return folder


def write_folders(folder: Path) -> Path:
    """By the classes' numbers, for both splits."""
    number = 0
    for label, tracks in TRACKS.items():
        for track in range(tracks):
            for frame in range(3):
                save_frame(folder / "train" / f"{label:02}" / f"{track}_{frame}.png", number)
                number += 1
    for index, label in enumerate(TESTED):
        save_frame(folder / "test" / str(label) / f"{index}.png", 100 + index)
    return folder


def write_with_commas(folder: Path) -> Path:
    """A list with commas and paths."""
    write_original(folder)
    (folder / "GT-final_test.csv").unlink()
    rows = [(f"Test/{index:05}.ppm", label) for index, label in enumerate(TESTED)]
    text = csv_text(rows, ",").replace("Filename", "Path")
    (folder / "Test.csv").write_text("\ufeff" + text)
    return folder


@pytest.mark.parametrize("write", [write_original, write_folders, write_with_commas])
@pytest.mark.parametrize("packed", [False, True])
def test_frames_come_with_their_signs(
    write: Callable[[Path], Path], packed: bool, tmp_path: Path
) -> None:
    path = write(tmp_path / "data")
    if packed:
        with tarfile.open(tmp_path / "data.tar", "w") as tar:
            tar.add(path, "latest")  # no folder of the test images
        path = tmp_path / "data.tar"
    train = load_dataset("gtsrb", "train", path)
    assert train.images.shape == (18, 32, 32, 3)
    assert (len(train.class_names), train.class_names[14]) == (43, "stop")
    first = {0: 0, 3: 3, 42: 9}
    seen: dict[int, int] = {}
    for image, label in zip(train.images, train.labels.tolist(), strict=True):
        number = first[label] + seen.setdefault(label, 0)
        assert (image == (number, 0, 255 - number)).all()
        seen[label] += 1
    assert seen == {label: 3 * tracks for label, tracks in TRACKS.items()}
    test = load_dataset("gtsrb", "test", path, image_size=24)
    assert test.images.shape == (4, 24, 24, 3)
    pairs = zip(test.images[:, 0, 0, 0].tolist(), test.labels.tolist(), strict=True)
    assert sorted(pairs) == [(100 + index, label) for index, label in enumerate(TESTED)]


def test_classes_are_spread_evenly(tmp_path: Path) -> None:
    labels = load_dataset("gtsrb", "train", write_original(tmp_path / "data")).labels
    for part in (labels[:6], labels[6:12], labels[12:]):
        assert np.bincount(part, minlength=43)[[0, 3, 42]].tolist() == [1, 2, 3]


def test_new_answers_are_read(tmp_path: Path) -> None:
    folder = write_original(tmp_path / "data")
    load_dataset("gtsrb", "test", folder)
    (folder / "GT-final_test.csv").write_text(csv_text([(f"{i:05}.ppm", 5) for i in range(4)]))
    assert load_dataset("gtsrb", "test", folder).labels.tolist() == [5] * 4


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    def refused(split: str = "train") -> str:
        with pytest.raises(InputError) as caught:
            load_dataset("gtsrb", split, folder)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    folder = write_original(tmp_path / "data")
    answers = folder / "GT-final_test.csv"
    answers.write_text(csv_text([("00000.ppm", 42), ("00001.ppm", 0)]))
    assert "no .csv file" in refused("test")
    assert "'GTSRB/Final_Test/Images/00002.ppm': put GT-final_test.csv there" in refused("test")
    answers.write_text(csv_text([(f"{index:05}.ppm", 43) for index in range(4)]))
    assert "00000.ppm' is of class 43, gtsrb has 0 to 42" in refused("test")
    answers.write_text("Filename;ClassId\n00000.ppm;\n")
    assert "GT-final_test.csv' is damaged: line 2" in refused("test")
    answers.write_bytes(b"Filename;ClassId\n00000.ppm;1\r00001.ppm;2\n")
    assert "GT-final_test.csv' is damaged: new-line character" in refused("test")
    answers.unlink()
    (folder / "GTSRB" / "Final_Test").rename(folder / "else")
    assert "holds no test images of gtsrb: unpack its archives there" in refused()
    with pytest.raises(InputError, match="needs --data"):
        load_dataset("gtsrb", "train")
    assert dataset_shape("gtsrb") == ((32, 32, 3), 43)
    assert dataset_shape("gtsrb", 48) == ((48, 48, 3), 43)
