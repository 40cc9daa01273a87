"""Runs the examples as their first lines say and compares their logits with ONNX Runtime's."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bitat_deploy.bundle import runner_folder
from bitat_deploy.datasets.pictures import prepare_picture
from bitat_deploy.errors import BuildError, BundleError, InputError
from bitat_deploy.network import OWN
from bitat_deploy.onnx_format import reference_logits

EXAMPLES = Path(__file__).parents[2] / "examples"
EMULATORS: dict[str, tuple[object, ...]] = {
    "host": (),
    "rpi4": ("qemu-aarch64", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu"),
    "rpi_32bit": ("qemu-arm", "-cpu", "cortex-a7"),
}
COUNT = 20


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    random = np.random.default_rng(0)
    path.write_bytes(random.integers(0, 256, (COUNT, 28, 28, 1), dtype=np.uint8).tobytes())
    return path


def call(*command: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def logits(finished: "subprocess.CompletedProcess[str]") -> NDArray[np.float32]:
    assert finished.returncode == 0, finished.stderr
    rows = [line.partition(": ")[2].split() for line in finished.stdout.splitlines()]
    return np.array(rows, dtype=np.float64).astype(np.float32)


def reference(bundle: Path, images: Path) -> NDArray[np.float32]:
    pixels = np.fromfile(images, dtype=np.uint8).reshape(COUNT, 28, 28, 1)
    return reference_logits(bundle / "model.onnx", pixels)


@pytest.fixture(params=EMULATORS)
def cpp(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, tuple[object, ...]]:
    """A bundle, and how to start the program that was built from it."""
    bundle: Path = request.getfixturevalue(f"{request.param}_bundle")
    built = call(sys.executable, EXAMPLES / "cpp" / "build.py", bundle, tmp_path / "app")
    assert built.returncode == 0, built.stderr
    return bundle, (*EMULATORS[request.param], tmp_path / "app" / "classify")


def test_cpp(cpp: tuple[Path, tuple[object, ...]], images: Path) -> None:
    bundle, program = cpp
    finished = call(*program, images)
    expected = reference(bundle, images)
    assert np.array_equal(logits(finished), expected)
    classes = [int(number) for number in re.findall("^class ([0-9]+):", finished.stdout, re.M)]
    assert classes == expected.argmax(axis=1).tolist()

    assert call(*program, images, 0).stdout == finished.stdout
    assert "negative" in call(*program, images, -1).stderr
    images.write_bytes(images.read_bytes()[:-1])
    assert "middle of an image" in call(*program, images).stderr
    images.unlink()
    assert "cannot read" in call(*program, images).stderr


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_cpp_with_this_systems_compiler(host_bundle: Path, images: Path, tmp_path: Path) -> None:
    """The library's interface is plain C, so that any compiler's programs can use it."""
    shutil.copytree(host_bundle, tmp_path / "app")
    with runner_folder() as sources:
        command = ["g++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        command += ["-I", str(sources / "library"), str(EXAMPLES / "cpp" / "classify.cc")]
        command += ["-o", str(tmp_path / "app" / "classify"), "-L", str(tmp_path / "app" / "lib")]
        command += ["-lbitat_deploy", "-Wl,-rpath,$ORIGIN/lib"]
        subprocess.run(command, check=True)
    finished = call(tmp_path / "app" / "classify", images, 2)
    assert np.array_equal(logits(finished), reference(host_bundle, images))


def test_cpp_without_a_bundle(tmp_path: Path) -> None:
    finished = call(sys.executable, EXAMPLES / "cpp" / "build.py", tmp_path, tmp_path / "app")
    assert finished.returncode in (BundleError.exit_code, InputError.exit_code)
    assert finished.stderr.startswith("Error: ") and "Traceback" not in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_cpp_into_a_folder_that_cannot_be(host_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "app").write_text("a file")
    finished = call(sys.executable, EXAMPLES / "cpp" / "build.py", host_bundle, tmp_path / "app")
    assert finished.returncode == BuildError.exit_code
    assert "cannot be written" in finished.stderr and "Traceback" not in finished.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["app"]


def test_python(host_bundle: Path, tmp_path: Path) -> None:
    # What the device has: the bundle's files and the example, and no package of ours or TVM's.
    shutil.copytree(host_bundle, tmp_path / "bundle", ignore=shutil.ignore_patterns("*.onnx"))
    shutil.copy(EXAMPLES / "python" / "classify.py", tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (COUNT, 36, 48, 3), dtype=np.uint8)
    frames.tofile(tmp_path / "frames")
    pictures = [Image.fromarray(frame) for frame in frames]
    images = [prepare_picture(picture, (28, 28, 1), OWN, "it") for picture in pictures]
    expected = reference_logits(host_bundle / "model.onnx", np.stack(images))
    python = (Path(sys.base_prefix) / "bin" / "python3", "-I", tmp_path / "classify.py")
    finished = call(*python, tmp_path / "bundle", tmp_path / "frames", 48, 36)
    assert np.array_equal(logits(finished), expected)
    classes = [int(number) for number in re.findall("^class ([0-9]+):", finished.stdout, re.M)]
    assert classes == expected.argmax(axis=1).tolist()

    finished = call(*python, tmp_path / "bundle", tmp_path / "frames", 48, 37)
    assert finished.returncode == 1 and "in the middle of a frame" in finished.stderr
    (tmp_path / "bundle" / "model.txt").write_text("nothing")
    finished = call(*python, tmp_path / "bundle", tmp_path / "frames", 48, 36)
    assert "is of another version; build the bundle again" in finished.stderr
