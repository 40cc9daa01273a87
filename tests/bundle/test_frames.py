"""What the device library makes of frames, against Pillow, which prepares pictures on the host."""

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bitat_deploy.bundle import runner_folder
from bitat_deploy.datasets.pictures import prepare_picture
from bitat_deploy.errors import InputError
from bitat_deploy.network import OWN, Preprocessing

SHAPES = [(28, 28, 1), (32, 32, 3), (20, 31, 3), (17, 9, 4), (64, 48, 1)]
# Odd ones, narrow ones, the network's own, 4:3 and those of a camera.
SIZES = [(1, 1), (3, 5), (28, 28), (32, 32), (29, 61), (75, 100), (480, 640), (641, 37), (31, 20)]
RECORDS = [
    OWN,
    replace(OWN, resize="bilinear"),
    replace(OWN, fit="stretch", order="bgr"),
    replace(OWN, resized_to=(70, 67)),
    replace(OWN, resize="bilinear", resized_to=(64, 80), order="bgr"),
    replace(OWN, fit="middle"),
]
FORMATS = {"rgb": [0, 1, 2], "bgr": [2, 1, 0], "rgbx": [0, 1, 2, 0], "bgrx": [2, 1, 0, 1]}


@pytest.fixture(scope="module")
def device() -> ModuleType:
    """The module that a bundle brings for Python on the device."""
    with runner_folder() as folder:
        path = folder / "library" / "bitat_device.py"
        specification = importlib.util.spec_from_file_location("bitat_device", path)
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    return module


@pytest.fixture
def opened(
    device: ModuleType, host_bundle: Path, tmp_path: Path
) -> Callable[[tuple[int, int, int], Preprocessing], Any]:
    """A network that is opened as one of any shape: it only prepares images, and does not run."""
    (tmp_path / "lib").symlink_to(host_bundle / "lib")
    shutil.copyfile(host_bundle / "model.so", tmp_path / "model.so")

    def open_network(shape: tuple[int, int, int], record: Preprocessing) -> Any:
        lines = ["bitat-deploy network 1", f"shape {' '.join(map(str, shape))}", "batch 1"]
        lines += ["classes 10", f"fit {record.fit}", f"resize {record.resize}"]
        lines += [f"order {record.order}"]
        if record.resized_to is not None:
            lines.append(f"resized {record.resized_to[0]} {record.resized_to[1]}")
        (tmp_path / "model.txt").write_text("\n".join(lines) + "\n")
        return device.Network(tmp_path)

    return open_network


def expected(
    pixels: NDArray[np.uint8], shape: tuple[int, int, int], record: Preprocessing
) -> NDArray[np.uint8] | None:
    try:
        return prepare_picture(Image.fromarray(pixels), shape, record, "it")
    except InputError:
        return None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("record", RECORDS)
def test_the_same_bytes_as_pillow(
    opened: Callable[[tuple[int, int, int], Preprocessing], Any],
    device: ModuleType,
    shape: tuple[int, int, int],
    record: Preprocessing,
) -> None:
    if record.resized_to is not None and (
        record.resized_to[0] < shape[0] or record.resized_to[1] < shape[1]
    ):
        return
    generator = np.random.default_rng(shape[1])
    with opened(shape, record) as network:
        for height, width in SIZES:
            # Half noise, half black and white: sums that go beyond 0 and 255.
            picture = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
            picture[:, : width // 2] = picture[:, : width // 2] // 128 * 255
            wanted = expected(picture, shape, record)
            for name, order in FORMATS.items():
                wide = np.zeros((height, width + 5, len(order)), np.uint8)
                wide[:, 2 : 2 + width] = picture[..., order]
                frame = wide[:, 2 : 2 + width]
                if wanted is None:
                    with pytest.raises(device.DeviceError, match="this one is smaller"):
                        network.image(frame, name)
                    continue
                image = np.frombuffer(network.image(frame, name), np.uint8).reshape(shape)
                assert np.array_equal(image, wanted), (height, width, name)
            grey = picture[..., 0].copy()
            wanted = expected(grey, shape, record)
            if wanted is not None:
                image = np.frombuffer(network.image(grey, "grey"), np.uint8).reshape(shape)
                assert np.array_equal(image, wanted), (height, width)


def test_frames_of_all_kinds_of_objects(
    opened: Callable[[tuple[int, int, int], Preprocessing], Any],
) -> None:
    shape = (20, 30, 3)
    picture = np.random.default_rng(1).integers(0, 256, (45, 67, 3), dtype=np.uint8)
    wanted = expected(picture, shape, OWN)
    assert wanted is not None
    gap = np.zeros((45, 70, 3), np.uint8)
    gap[:, :67] = picture
    with opened(shape, OWN) as network:
        for image in (
            network.image(picture),
            network.image(picture[::-1][::-1]),
            network.image(np.asfortranarray(picture)),
            network.image(np.ascontiguousarray(picture[::-1])[::-1]),  # a negative stride
            network.image(picture.tobytes(), width=67, height=45),
            network.image(bytearray(picture.tobytes()), width=67, height=45),
            network.image(memoryview(gap.tobytes()), width=67, height=45, stride=210),
            network.image(memoryview(picture.tobytes()).cast("B", (45, 67, 3))),
        ):
            assert image == wanted.tobytes()
        for bad, form in (
            (picture[..., 0], "rgb"),
            (picture, "grey"),
            (picture.astype(np.uint16), "rgb"),
            (picture, "yuv"),
            (b"abc", "rgb"),
        ):
            with pytest.raises(ValueError):
                network.image(bad, form)
        with pytest.raises(ValueError, match="too few"):
            network.image(b"abc", width=67, height=45)
    with pytest.raises(ValueError, match="closed"):
        network.image(picture)
