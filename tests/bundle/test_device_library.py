"""The device library from a plain C program: on this machine, and as ARM code in qemu-user."""

import platform
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bitat_deploy.bundle import build_program, read_bundle, runner_folder
from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.datasets.pictures import prepare_picture
from bitat_deploy.errors import BundleError
from bitat_deploy.network import OWN
from bitat_deploy.onnx_format import reference_logits
from bitat_deploy.target import load_target

SOURCE = Path(__file__).with_name("device_library.c")
WARNINGS = ("-std=c99", "-O2", "-pedantic", "-Wall", "-Wextra", "-Werror")
# The C compiler's name of a target, and what runs its programs here.
TARGETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "host": (f"{platform.machine()}-linux-gnu.2.28", ()),
    "rpi4": (
        "aarch64-linux-gnu.2.28",
        ("qemu-aarch64", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu"),
    ),
    "rpi-32bit": ("arm-linux-musleabihf", ("qemu-arm", "-cpu", "cortex-a7")),
}
COUNT = 7

OK, BAD_ARGUMENT, BAD_FILE, BAD_NETWORK = range(4)


class Program:
    """The C program, compiled for the device of a bundle, in ``folder``."""

    def __init__(self, target: str, bundle: Path, folder: Path) -> None:
        triple, self._emulator = TARGETS[target]
        self.bundle, self.folder = bundle, folder
        self._program = folder / "program"
        folder.mkdir()
        with runner_folder() as sources:
            command = [sys.executable, "-m", "ziglang", "cc", "-target", triple, *WARNINGS]
            command += ["-c", "-I", str(sources / "library"), str(SOURCE)]
            command += ["-o", str(folder / "program.o")]
            subprocess.run(command, check=True)
        build_program([folder / "program.o"], read_bundle(bundle), self._program)

    def __call__(self, *arguments: object) -> str:
        command = [*self._emulator, str(self._program), *map(str, arguments)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, (finished.returncode, finished.stderr)
        return finished.stdout

    def open(self, path: Path | str, *, size: int = 0, **options: int) -> list[str]:
        """Open ``path``; the lines that it prints: status and text."""
        names = ("threads", "batch", "height", "width", "channels")
        return self("open", path, size, *(options.get(name, 0) for name in names)).splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module", params=TARGETS)
def program(request: pytest.FixtureRequest, folder: Path) -> Program:
    target: str = request.param
    if TARGETS[target][1] and shutil.which(TARGETS[target][1][0]) is None:
        pytest.skip("needs Debian's qemu-user")
    bundle = request.getfixturevalue(f"{target.replace('-', '_')}_bundle")
    return Program(target, bundle, folder / target)


@pytest.fixture(scope="module")
def host(host_bundle: Path, folder: Path) -> Program:
    return Program("host", host_bundle, folder / "for-this-machine")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    random.integers(0, 256, (COUNT, 28, 28, 1), dtype=np.uint8).tofile(tmp_path / "images")
    return tmp_path / "images"


def logits(printed: str) -> NDArray[np.float32]:
    rows = [line.split() for line in printed.splitlines()]
    return np.array(rows, dtype=np.float64).astype(np.float32)


def reference(bundle: Path, images: Path) -> NDArray[np.float32]:
    pixels = np.fromfile(images, dtype=np.uint8).reshape(COUNT, 28, 28, 1)
    return reference_logits(bundle / "model.onnx", pixels)


def test_equals_the_reference(program: Program, images: Path) -> None:
    expected = reference(program.bundle, images)
    assert np.array_equal(logits(program("run", program.folder, images, 1, 1)), expected)


def test_no_call_needs_a_network(program: Program) -> None:
    lines = program("nulls").splitlines()
    assert [line.split()[0] for line in lines] == [str(BAD_ARGUMENT)] * 4
    assert all("NULL" in line for line in lines)


def test_frames(program: Program, tmp_path: Path) -> None:
    """Of any size, with strides, cropped and resized as the bundle says."""
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (4, 45, 60, 3), dtype=np.uint8)
    frames.tofile(tmp_path / "frames")
    pictures = [Image.fromarray(frame) for frame in frames]
    images = [prepare_picture(picture, (28, 28, 1), OWN, "it") for picture in pictures]
    expected = reference_logits(program.bundle / "model.onnx", np.stack(images))
    printed = program("frames", program.folder, tmp_path / "frames", 60, 45)
    assert np.array_equal(logits(printed), expected)


def test_wrong_options(program: Program) -> None:
    def refused(text: str, **options: int) -> None:
        (line,) = program.open(program.folder, **options)
        assert line.startswith(f"{BAD_ARGUMENT} ") and text in line

    refused("batches of 1, not of 3", batch=3)
    refused("shape 28x28x1, not 14x56x1", height=14, width=56, channels=1)
    refused("negative or too large", threads=-1)
    refused("another version of bitat_deploy.h", size=4)


def test_threads_and_batches(host: Program, images: Path, tmp_path: Path) -> None:
    expected = reference(host.bundle, images)
    assert np.array_equal(logits(host("run", host.folder, images, 1, 2)), expected)
    # Seven images are two whole batches of three, and one image.
    model = host.bundle / "model.onnx"
    batches = build_bundle(model, load_target("host"), tmp_path / "batches", batch=3)
    assert np.array_equal(logits(host("run", batches.directory, images, 3, 2)), expected)
    (line,) = host.open(batches.directory, batch=1)
    assert line.startswith(f"{BAD_ARGUMENT} ") and "batches of 3, not of 1" in line


def test_two_networks_in_two_threads(host: Program, images: Path) -> None:
    expected = reference(host.bundle, images)
    assert np.array_equal(logits(host("two", host.folder, images)), expected)


def test_a_static_network_is_opened_once(program: Program) -> None:
    opened, *again = program.open(program.folder)
    assert opened == f"{OK} "
    is_static = program.folder.name == "rpi-32bit"
    assert again == (["the network of this program is open already; close it first"] * is_static)


def test_files_that_are_not_right(host: Program, tmp_path: Path) -> None:
    def failed(status: int, text: str, **options: int) -> None:
        (line,) = host.open(tmp_path, **options)
        assert line.startswith(f"{status} ") and text in line, line

    failed(BAD_FILE, f"cannot read the model '{tmp_path}/model.so': No such file or directory")
    content = (host.bundle / "model.so").read_bytes()
    (tmp_path / "model.so").write_bytes(content)
    failed(BAD_FILE, "model.txt' is missing; build again, or give the shape of an image")
    # Bundles of earlier versions have no model.txt.
    assert host.open(tmp_path, height=28, width=28, channels=1)[0] == f"{OK} "
    failed(BAD_NETWORK, "shape", height=14, width=56, channels=1)

    (tmp_path / "model.so").write_bytes(content[: len(content) // 2])
    failed(BAD_NETWORK, "cut off or damaged; build it again")
    (tmp_path / "model.so").write_bytes(content)

    text = (host.bundle / "model.txt").read_text()
    unnamed = re.sub("(?m)^class .*\n", "", text)
    for damaged, sentence in [
        ("", "of another version"),
        (text.replace("network 1", "network 2"), "of another version"),
        (text.replace("batch 1", "batch"), "is damaged"),
        (text.replace("shape 28 28", "shape 28 -28"), "is damaged"),
        (text.replace("classes", "colours"), "is damaged"),
        (text.replace("classes 10", "classes 11"), "is damaged"),
        (unnamed.replace("classes 10", "classes 11"), "another number of classes"),
        (text.replace("classes 10", "classes 10 11"), "is damaged"),
        (text.replace("class 3", "class 3\x1b"), "is damaged"),
        (text.replace("class 3", "3" * 3000), "is damaged"),
        (text.replace("class 3", f"name {'3' * 3000}"), "is damaged"),
        (text.replace("fit crop", "fit squeeze"), "is damaged"),
        (text.replace("order rgb", "order"), "is damaged"),
        (f"{text}resized 27 28\n", "is damaged"),
        (f"{text}resized 28 99999\n", "is damaged"),
        (f"{text}resized 28\n", "is damaged"),
    ]:
        (tmp_path / "model.txt").write_text(damaged)
        failed(BAD_NETWORK, sentence)
    (tmp_path / "model.txt").write_text(text + "something that a later version adds\n")
    assert host.open(tmp_path)[0] == f"{OK} "


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm (Debian's binutils)")
def test_the_library_exports_what_the_header_declares(rpi4_bundle: Path) -> None:
    """Nothing of its C++ standard library, which may not take the place of the program's."""
    library = rpi4_bundle / "lib" / "libbitat_deploy.so"
    command = ["nm", "--dynamic", "--defined-only", "--format=posix", str(library)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with runner_folder() as sources:
        header = (sources / "library" / "bitat_deploy.h").read_text()
    declared = re.findall(r"^BITAT_API [^(]*?(\w+)\(", header, re.M)
    assert len(declared) == 14
    assert sorted(line.split()[0] for line in listed.splitlines()) == sorted(declared)


def test_a_bundle_of_an_earlier_version(host_bundle: Path, tmp_path: Path) -> None:
    bundle = read_bundle(host_bundle)
    kept = [file for file in bundle.manifest.files if "libbitat_deploy" not in file.path]
    earlier = replace(bundle, manifest=replace(bundle.manifest, files=tuple(kept)))
    with pytest.raises(BundleError, match=r"has no 'lib/libbitat_deploy\.so', .* build it again"):
        build_program([SOURCE], earlier, tmp_path / "app" / "program")
    assert list(tmp_path.iterdir()) == []
