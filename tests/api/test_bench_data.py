"""Which pictures a network is measured on: nothing that it was not trained on, unless asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitat_deploy as bd
from bitat_deploy.api.bench_data import bench_dataset
from bitat_deploy.bundle import Bundle
from bitat_deploy.foreign import load_network
from bitat_deploy.network import Supplement
from bitat_deploy.target import load_target
from tests.foreign.drawn_models import Model

QUICK = bd.BenchOptions(warmup=0, min_runs=1, min_seconds=0)
NAMES = ("zebra", "yak", "ape", "cat")


def photos(folder: Path, classes: tuple[str, ...], mode: str = "RGB") -> Path:
    """Two photos of each class, whose left upper pixel says which class it is."""
    for index, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(2):
            pixels = np.full((18, 28, len(mode)), 10 * index, np.uint8)
            picture = Image.fromarray(pixels if len(mode) > 1 else pixels[:, :, 0])
            picture.save(folder / name / f"{number}.png")
    return folder


def described(bundle: Bundle, **changes: object) -> Bundle:
    """The bundle with another description of its network, for what happens before it is run."""
    model = replace(bundle.manifest.model, **changes)  # type: ignore[arg-type]
    return replace(bundle, manifest=replace(bundle.manifest, model=model))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of a network from elsewhere: rectangles of three channels to four classes with names."""
    folder = tmp_path_factory.mktemp("named")
    model = Model((3, 9, 14))
    model.conv(8, pads=[1] * 4)
    path = model.classify(classes=4).save(folder)
    return bd.build(path, "host", folder / "bundle", class_names=NAMES)


def test_what_was_given_is_in_the_bundle(bundle: Bundle) -> None:
    assert bd.read_bundle(bundle.directory).manifest.model.class_names == NAMES
    described_to_the_device = (bundle.directory / "model.txt").read_text()
    assert "class zebra\nclass yak\n" in described_to_the_device


@pytest.mark.parametrize("ours", [False, True])
def test_a_name_for_each_class(ours: bool, host_bundle: Path, tmp_path: Path) -> None:
    model = Model((3, 9, 14)).classify(classes=10).save(tmp_path)
    path, host = (host_bundle / "model.onnx" if ours else model), load_target("host")
    names = tuple("abcdefghij")
    assert load_network(path, Supplement(class_names=names), host).class_names == names
    with pytest.raises(bd.BitatDeployError, match=r"3 names of classes .* has 10 classes"):
        load_network(path, Supplement(class_names=names[:3]), host)


def test_folders_are_found_by_name(bundle: Bundle, tmp_path: Path) -> None:
    data = photos(tmp_path / "photos", ("ape", "zebra"))  # some of the classes, in another order
    dataset = bench_dataset(bundle, data, None)
    assert dataset.class_names == NAMES
    assert sorted(dataset.labels.tolist()) == [0, 0, 2, 2]
    shown = {
        label: int(image[0, 0, 0])
        for image, label in zip(dataset.images, dataset.labels, strict=True)
    }
    assert shown == {2: 0, 0: 10}
    result = bd.bench(bundle, data=data, options=QUICK)
    assert result.accuracy.top1 in (0, 0.25, 0.5, 0.75, 1) and result.accuracy.logits_equal


def test_unknown_folders_and_nameless_classes_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    data = photos(tmp_path / "photos", ("ape", "horse"))
    with pytest.raises(bd.BitatDeployError, match="4 classes none is called 'horse'"):
        bench_dataset(bundle, data, None)
    nameless = described(bundle, class_names=tuple(f"class {index}" for index in range(4)))
    with pytest.raises(bd.BitatDeployError, match="2 classes, the network 4 without names"):
        bench_dataset(nameless, data, None)
    with pytest.raises(bd.BitatDeployError, match="2 is called 'ape'"):
        bench_dataset(bundle, data, None, ("ape", "horse", "ape", "cow"))
    given = bench_dataset(nameless, data, None, ("cow", "horse", "ape", "cat"))
    assert sorted(given.labels.tolist()) == [1, 1, 2, 2]


def test_nameless_classes_are_in_alphabetical_order(bundle: Bundle, tmp_path: Path) -> None:
    nameless = described(bundle, class_names=())
    dataset = bench_dataset(nameless, photos(tmp_path / "photos", ("d", "b", "a", "c")), None)
    assert dataset.class_names == ("a", "b", "c", "d")


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_channels(channels: int, mode: str, bundle: Bundle, tmp_path: Path) -> None:
    shape = (9, 14, channels)
    dataset = bench_dataset(
        described(bundle, input_shape=shape), photos(tmp_path / "photos", NAMES, mode), None
    )
    assert dataset.images.shape == (8, *shape)
    assert bench_dataset(described(bundle, input_shape=shape), None, 5).images.shape == (5, *shape)


@pytest.mark.parametrize("trained_on", [None, "image-folder", "cifar-10", "gtsrb", "unheard-of"])
def test_no_other_data_set_is_taken_by_itself(trained_on: str | None, bundle: Bundle) -> None:
    metadata = {} if trained_on is None else {"dataset": trained_on}
    dataset = bench_dataset(described(bundle, metadata=metadata), None, 3)
    assert dataset.name == "drawn pictures" and dataset.labels.size == 0


def test_class_names_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_bytes("\ufeffa cat\r\nein Käfer \r\n\r\n".encode())
    assert bd.read_class_names(file) == ("a cat", "ein Käfer")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "names no classes"),
        (b"a\n\nb\n", "class 1 has no name"),
        (b"\xff\xfe", "not text in UTF-8"),
        (b"a\x07b\n", "class 0 is not one line of text"),
        (b"a" * 401, "class 0 is not one line of text"),
        (b"a\n" * 2_100_000, "too large"),
        (None, "cannot be read"),
    ],
)
def test_bad_class_names(content: bytes | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(bd.BitatDeployError, match=words):
        bd.read_class_names(file)
