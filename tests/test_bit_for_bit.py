"""The central property: a network gives one answer in four places."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.bundle.bundle import RUNNER, Bundle
from bitat_deploy.datasets import load_dataset
from bitat_deploy.onnx_format import read_network, reference_logits
from bitat_deploy.target import load_target
from bitat_deploy.training.integer_network import integer_logits
from bitat_deploy.zoo import resolve_model, zoo_names

IMAGES = 1000
DRAWN = 100
QEMU = ("qemu-aarch64", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu")


@pytest.fixture(scope="module", params=zoo_names())
def model(request: pytest.FixtureRequest) -> Path:
    return resolve_model(request.param)


@pytest.fixture(scope="module")
def images(model: Path) -> np.ndarray:
    """Of the network's data set where it is at hand; else drawn, dark and light ones."""
    if model.stem.startswith("fashion-mnist"):
        return load_dataset("fashion-mnist", "test", None).images[:IMAGES]
    generator = np.random.default_rng(1)
    shape = (DRAWN, *read_network(model).input_shape)
    light = generator.integers(1, 256, (DRAWN, 1, 1, 1))
    return (generator.integers(0, 256, shape) * light // 255).astype(np.uint8)


@pytest.fixture(scope="module")
def reference(model: Path, images: np.ndarray) -> np.ndarray:
    """Stock ONNX Runtime."""
    return reference_logits(model, images)


def test_the_file_says_how_pictures_are_prepared(model: Path) -> None:
    assert not read_network(model).preprocessing.assumed


def test_pytorch_integer_evaluation(model: Path, images: np.ndarray, reference: np.ndarray) -> None:
    assert np.array_equal(integer_logits(read_network(model), images), reference)


@pytest.mark.parametrize(("target", "emulator"), [("host", ()), ("rpi4", QEMU)])
def test_bundle(
    model: Path,
    target: str,
    emulator: tuple[str, ...],
    images: np.ndarray,
    reference: np.ndarray,
    tmp_path: Path,
) -> None:
    bundle = build_bundle(model, load_target(target), tmp_path / "bundle")
    assert np.array_equal(run(bundle, emulator, images, tmp_path), reference)


def run(
    bundle: Bundle, emulator: tuple[str, ...], images: np.ndarray, folder: Path, threads: int = 1
) -> np.ndarray:
    """The logits that the bundle's own runner writes."""
    images.tofile(folder / "images")
    shape = "x".join(map(str, images.shape[1:]))
    command = [
        *emulator,
        str(bundle.directory / RUNNER),
        *("--model", str(bundle.directory / bundle.model_file), "--shape", shape),
        *("--images", str(folder / "images"), "--logits", str(folder / "logits")),
        *("--warmup", "1", "--min-runs", "1", "--min-seconds", "0", "--threads", str(threads)),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return np.fromfile(folder / "logits", np.float32).reshape(len(images), -1)
