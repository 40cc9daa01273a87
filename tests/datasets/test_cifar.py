import os
import pickle
import resource
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.datasets import load_dataset
from bitat_deploy.datasets.cifar import CIFAR_10, CIFAR_100
from bitat_deploy.datasets.cifar_python import read_python_file
from bitat_deploy.errors import InputError
from tests.datasets.cifar_files import (
    VARIANTS,
    archive,
    images_and_labels,
    write_cifar,
    write_class_folders,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["python", "binary"])
@pytest.mark.parametrize("name", VARIANTS)
def test_both_formats_in_folder_and_archive(
    name: str, kind: str, packed: bool, tmp_path: Path
) -> None:
    variant = VARIANTS[name]
    path = write_cifar(tmp_path / "data", variant, kind)
    if packed:
        path = archive(path, tmp_path / "data.tar.gz")
    for split, files in variant.python_files.items():
        dataset = load_dataset(name, split, path)
        parts = [images_and_labels(file, len(variant.class_names)) for file in files]
        assert (dataset.images == np.concatenate([images for images, _ in parts])).all()
        assert (dataset.labels == np.concatenate([labels for _, labels in parts])).all()
        assert dataset.class_names == variant.class_names


def test_class_names_are_in_the_order_of_the_labels() -> None:
    assert len(CIFAR_10.class_names) == 10
    assert len(CIFAR_100.class_names) == 100
    for variant in VARIANTS.values():
        assert sorted(variant.class_names) == list(variant.class_names)


def test_class_folders_have_the_labels_of_the_other_formats(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data", CIFAR_10.class_names)
    for path in (folder, archive(folder, tmp_path / "data.tar.xz")):
        for _ in ("decoded", "from the cache"):
            train = load_dataset("cifar-10", "train", path)
            assert train.images.shape == (20, 32, 32, 3)
            assert train.labels.tolist() == [*range(10), *range(10)]
            assert train.class_names == CIFAR_10.class_names


def test_nothing_that_a_pickle_names_is_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    folder = write_cifar(tmp_path / "data", CIFAR_10, "python")
    (folder / "cifar-10-python" / "test_batch").write_bytes(pickle.dumps({b"data": Harmful()}))
    with pytest.raises(InputError, match=r"test_batch' cannot be read .* names posix.mkdir"):
        load_dataset("cifar-10", "test", folder)
    assert not (tmp_path / "harm").exists()


def refused(name: str, path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_dataset(name, "test", path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["python", "binary"])
def test_damaged_and_missing_files_are_named(kind: str, tmp_path: Path) -> None:
    folder = write_cifar(tmp_path / "data", CIFAR_10, kind)
    (batch,) = folder.glob("*/test_batch*")
    whole = batch.read_bytes()
    batch.write_bytes(whole[:-10])
    assert str(batch) in refused("cifar-10", folder)
    batch.unlink()
    assert "test_batch" in refused("cifar-10", folder)
    assert "is missing" in refused("cifar-10", folder)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([1, 2], "no dictionary"),
        ({b"data": np.zeros((2, 3072), np.uint8)}, "no entries"),
        ({b"data": np.zeros((2, 3072)), b"labels": [0, 1]}, "no array of images"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "2 images but 1 labels"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}, "0 to 9"),
        ({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}, "no images"),
    ],
)
def test_wrong_content(document: object, complaint: str, tmp_path: Path) -> None:
    folder = write_cifar(tmp_path / "data", CIFAR_10, "python")
    (folder / "cifar-10-python" / "test_batch").write_bytes(pickle.dumps(document, protocol=2))
    assert complaint in refused("cifar-10", folder)


def test_another_data_set_is_recognised(tmp_path: Path) -> None:
    hundred = write_cifar(tmp_path / "hundred", CIFAR_100, "binary")
    assert "holds cifar-100, not cifar-10" in refused("cifar-10", hundred)
    animals = write_class_folders(tmp_path / "animals")
    assert "has 3 classes, which are not the 10" in refused("cifar-10", animals)
    large = write_class_folders(tmp_path / "large", CIFAR_10.class_names, size=(40, 32))
    assert "images of 40x32 pixels" in refused("cifar-10", large)
    (tmp_path / "empty").mkdir()
    assert "does not hold cifar-10" in refused("cifar-10", tmp_path / "empty")
    assert "does not exist" in refused("cifar-10", tmp_path / "nowhere")
    with pytest.raises(InputError, match="needs --data"):
        load_dataset("cifar-100", "train")


def test_archives_that_are_none_or_truncated(tmp_path: Path) -> None:
    text = tmp_path / "data.tar.gz"
    text.write_text("no archive")
    assert "is not a tar archive" in refused("cifar-10", text)
    for suffix in ("tar", "tar.gz", "tar.xz"):
        folder = write_cifar(tmp_path / suffix, CIFAR_10, "binary")
        whole = archive(folder, tmp_path / f"whole.{suffix}").read_bytes()
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(whole[: len(whole) // 2])
        message = refused("cifar-10", cut)
        assert str(cut) in message
        assert "truncated" in message


@pytest.mark.parametrize(
    "content",
    [
        b"}r\xff\xff\xff\x3f.",  # a place in the memo, for which 8 GB would be taken
        b"}p1073741823\n.",
        b"c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.",
    ],
)
def test_a_few_bytes_take_no_memory(content: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="cannot be read as a file of CIFAR"):
        read_python_file(content, "'a'")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize("content", [b"P0\n.", b"c\x1b[2J\nx\n."])
def test_reasons_are_one_printable_line(content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_python_file(content, "'a'")
    assert str(caught.value).isprintable()
