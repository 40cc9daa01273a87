import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitat_deploy.datasets import decoded, image_folder, load_dataset
from bitat_deploy.errors import BuildError, InputError
from tests.datasets.cifar_files import add_to_archive, archive, write_class_folders


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bitat-deploy" / "datasets" / "decoded"


@pytest.mark.parametrize("suffix", [None, "tar", "tar.gz", "tar.xz"])
def test_images_stand_in_turn_with_their_labels(suffix: str | None, tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data", test="val")
    path = folder if suffix is None else archive(folder, tmp_path / f"data.{suffix}")
    train = load_dataset("image-folder", "train", path)
    assert train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert train.class_names == ("cat", "dog", "owl")
    files = [f"train/{name}/{index}.png" for index in (0, 1) for name in ("cat", "dog", "owl")]
    for image, file in zip(train.images, files, strict=True):
        assert (image == np.asarray(Image.open(folder / file))).all()
    assert load_dataset("image-folder", "test", path).images.shape == (3, 32, 32, 3)


def test_uneven_classes_are_spread_evenly(tmp_path: Path) -> None:
    """Any part of them holds the classes in their proportion."""
    folder = write_class_folders(tmp_path / "data", ("few", "many"))
    picture = folder / "train" / "many" / "0.png"
    for index in range(2, 8):
        picture.with_stem(str(index)).write_bytes(picture.read_bytes())
    train = load_dataset("image-folder", "train", folder)
    assert train.labels.tolist() == [1, 1, 0, 1, 1, 1, 1, 0, 1, 1]
    assert train.files == tuple(f"{i}.png" for i in (0, 1, 0, 2, 3, 4, 5, 1, 6, 7))
    again = load_dataset("image-folder", "train", folder)  # from the cache
    assert again.files == train.files


def test_any_images_are_cropped_to_the_size(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data", ("a", "b"))
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("blue", (100, 0, 200, 100))
    wide.save(folder / "test" / "a" / "0.png")
    Image.new("L", (50, 90), 77).save(folder / "test" / "b" / "0.jpg")
    (folder / "test" / "b" / "0.png").unlink()
    (folder / "test" / "b" / ".hidden").write_text("not looked at")
    test = load_dataset("image-folder", "test", folder, image_size=24)
    assert test.images.shape == (2, 24, 24, 3)
    assert (test.images[0, :, 2:-2] == (0, 0, 255)).all()  # its borders are interpolated
    assert (test.images[1] == 77).all()


@pytest.mark.parametrize("shape", [(10, 30, 3), (24, 16, 1), (8, 8, 4)])
def test_any_images_are_cropped_to_any_shape(shape: tuple[int, int, int], tmp_path: Path) -> None:
    """Of their middle what has the proportions of the shape."""
    folder = write_class_folders(tmp_path / "data", ("a", "b"))
    height, width, channels = shape
    picture = np.zeros((2 * height, 6 * width, 3), np.uint8)
    picture[:, 2 * width : 4 * width] = 200
    Image.fromarray(picture).save(folder / "test" / "a" / "0.png")
    image = load_dataset("image-folder", "test", folder, image_size=shape).images[0]
    assert image.shape == shape
    assert (image[:, 2:-2, : min(channels, 3)] == 200).all()  # its borders are interpolated
    assert channels < 4 or (image[..., 3] == 255).all()


def test_names_with_any_digits_have_an_order() -> None:
    names = ["٣.png", "10.png", "²1.png", "9.png"]
    assert sorted(names, key=image_folder.by_number) == ["9.png", "10.png", "²1.png", "٣.png"]


def test_channels_that_no_picture_has(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data")
    with pytest.raises(InputError, match="takes images of 5 channels; pictures have 1"):
        load_dataset("image-folder", "test", folder, image_size=(8, 8, 5))


@pytest.mark.parametrize("suffix", [None, "tar"])
def test_classes_alone_are_test_images(suffix: str | None, tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data") / "test"
    (folder / "notes.txt").write_text("not looked at")
    path = folder if suffix is None else archive(folder, tmp_path / f"alone.{suffix}")
    dataset = load_dataset("image-folder", "test", path)
    assert (dataset.class_names, len(dataset.images)) == (("cat", "dog", "owl"), 3)
    assert (dataset.images == load_dataset("image-folder", "test", tmp_path / "data").images).all()
    with pytest.raises(InputError, match="no images in train/CLASS/, but classes alone"):
        load_dataset("image-folder", "train", path)


def test_classes_alone_are_decoded_again_when_they_change(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data") / "test"
    before = load_dataset("image-folder", "test", folder).images.copy()
    Image.new("RGB", (32, 32), "white").save(folder / "dog" / "0.png")
    after = load_dataset("image-folder", "test", folder).images
    assert (after[1] == 255).all() and (after[0] == before[0]).all()


def test_decoded_once_until_a_file_changes(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_class_folders(tmp_path / "data")
    before = load_dataset("image-folder", "test", folder).images
    with monkeypatch.context() as patched:
        patched.setattr(image_folder, "decode_picture", None)
        assert (load_dataset("image-folder", "test", folder).images == before).all()
    Image.new("RGB", (32, 32), "white").save(folder / "test" / "dog" / "0.png")
    after = load_dataset("image-folder", "test", folder).images
    assert (after[1] == 255).all()
    assert (after[[0, 2]] == before[[0, 2]]).all()
    assert len([entry for entry in own_cache.iterdir() if entry.is_dir()]) == 1


def test_an_entry_that_is_not_whole_is_made_again(tmp_path: Path, own_cache: Path) -> None:
    folder = write_class_folders(tmp_path / "data")
    before = load_dataset("image-folder", "test", folder).images.copy()
    (images,) = own_cache.glob("*/images.bin")
    os.truncate(images, 100)
    assert (load_dataset("image-folder", "test", folder).images == before).all()


def test_changing_the_images_in_memory_leaves_the_cache(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data")
    dataset = load_dataset("image-folder", "test", folder)
    before = dataset.images.copy()
    dataset.images[:] = 0
    assert (load_dataset("image-folder", "test", folder).images == before).all()


def refused(path: Path, split: str = "train", kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        load_dataset("image-folder", split, path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_mixed_sizes_and_unreadable_images_are_named(tmp_path: Path, own_cache: Path) -> None:
    folder = write_class_folders(tmp_path / "data")
    odd = folder / "train" / "owl" / "1.png"
    whole = odd.read_bytes()
    Image.new("RGB", (33, 32)).save(odd)
    assert f"'{odd}' has 33x32 pixels, 'train/cat/0.png' 32x32" in refused(folder)
    for content in (b"", b"no image", whole[:-200]):
        odd.write_bytes(content)
        assert f"'{odd}' cannot be read as a picture" in refused(folder)
    packed = archive(folder, tmp_path / "data.tar")
    assert f"'train/owl/1.png' in '{packed}' cannot be read as a picture" in refused(packed)
    assert not [entry for entry in own_cache.iterdir() if entry.is_dir()]


def test_classes_must_agree(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data")
    load_dataset("image-folder", "train", folder)
    (folder / "test" / "owl").rename(folder / "test" / "hen")
    message = refused(folder)
    assert "only for training: owl; only for testing: hen" in message
    (tmp_path / "data" / "test").rename(folder / "other")
    assert "no images in test/CLASS/" in refused(folder)
    lonely = write_class_folders(tmp_path / "lonely", ("one",))
    assert "one class" in refused(lonely)
    with pytest.raises(InputError, match="needs --data"):
        load_dataset("image-folder", "train")


def test_an_archive_writes_nowhere_and_its_links_are_not_followed(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data")
    path = archive(folder, tmp_path / "data.tar")
    with tarfile.open(path, "a") as tar:
        add_to_archive(tar, "../../escaped.png", b"x")
        link = tarfile.TarInfo("train/cat/9.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert len(load_dataset("image-folder", "train", path).labels) == 6
    assert not list(tmp_path.rglob("escaped.png"))


def test_a_folder_that_links_to_itself(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data")
    (folder / "train" / "cat" / "again").symlink_to(folder)
    assert "contains itself" in refused(folder)


def test_full_disk_leaves_nothing_behind(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_class_folders(tmp_path / "data")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded.np, "save", full)
    assert "the disk is full" in refused(folder, kind=BuildError)
    assert not [entry for entry in own_cache.iterdir() if entry.is_dir()]
