"""The SDK as users build with it: CMake and pkg-config, on this machine and across."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bitat_deploy.bundle import write_sdk
from bitat_deploy.datasets.pictures import prepare_picture
from bitat_deploy.errors import InputError
from bitat_deploy.network import OWN
from bitat_deploy.onnx_format import reference_logits
from bitat_deploy.target import load_target

COUNT, WIDTH, HEIGHT = 6, 52, 39  # frames of 4:3


@dataclass(frozen=True)
class Machine:
    """``compiler`` is Debian's; zig's stands in for it with ``triple``. ``emulator`` runs it."""

    compiler: str
    triple: str
    emulator: tuple[str, ...]
    emulator_with_zig: tuple[str, ...]


MACHINES = {
    "host": Machine("g++", "", (), ()),
    "rpi4": Machine(
        "aarch64-linux-gnu-g++",
        "aarch64-linux-gnu.2.28",
        ("qemu-aarch64", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu"),
        ("qemu-aarch64", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu"),
    ),
    "rpi-32bit": Machine(
        "arm-linux-gnueabihf-g++",
        "arm-linux-musleabihf",
        ("qemu-arm", "-cpu", "cortex-a7", "-L", "/usr/arm-linux-gnueabihf"),
        ("qemu-arm", "-cpu", "cortex-a7"),
    ),
}


def run(*command: object) -> str:
    finished = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def zig(folder: Path, name: str, *arguments: str) -> Path:
    """A program that calls zig as the compiler or archiver for another machine."""
    path = folder / name
    words = " ".join((sys.executable, "-m", "ziglang", *arguments))
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def frames(tmp_path: Path) -> NDArray[np.uint8]:
    drawn = np.random.default_rng(3).integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)
    (tmp_path / "frames").write_bytes(drawn[..., ::-1].tobytes())  # BGR
    return drawn


def reference(bundle: Path, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    shape = (28, 28, 1)
    images = [prepare_picture(Image.fromarray(frame), shape, OWN, "it") for frame in frames]
    return reference_logits(bundle / "model.onnx", np.stack(images))


def logits(printed: str) -> NDArray[np.float32]:
    rows = [line.partition(": ")[2].split() for line in printed.splitlines()]
    return np.array(rows, np.float64).astype(np.float32)


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
@pytest.mark.parametrize("target", MACHINES)
def test_cmake(
    target: str, request: pytest.FixtureRequest, frames: NDArray[np.uint8], tmp_path: Path
) -> None:
    machine = MACHINES[target]
    emulator: Sequence[str] = machine.emulator
    if emulator and shutil.which(emulator[0]) is None:
        pytest.skip("needs Debian's qemu-user")
    bundle: Path = request.getfixturevalue(f"{target.replace('-', '_')}_bundle")
    write_sdk(load_target(target), tmp_path / "sdk")
    options = [f"-DBUNDLE={bundle}", f"-DCMAKE_CXX_COMPILER={machine.compiler}"]
    if emulator:
        options += ["-DCMAKE_SYSTEM_NAME=Linux"]
    if shutil.which(machine.compiler) is None:
        if not machine.triple:
            pytest.skip("needs g++")
        compiler = zig(tmp_path, "zig-c++", "c++", "-target", machine.triple)
        options[1] = f"-DCMAKE_CXX_COMPILER={compiler}"
        options += [f"-DCMAKE_AR={zig(tmp_path, 'zig-ar', 'ar')}"]
        options += [f"-DCMAKE_RANLIB={zig(tmp_path, 'zig-ranlib', 'ranlib')}"]
        emulator = machine.emulator_with_zig
    run("cmake", "-S", tmp_path / "sdk" / "example", "-B", tmp_path / "app", *options)
    run("cmake", "--build", tmp_path / "app")
    (tmp_path / "app").rename(tmp_path / "moved")  # what it needs is beside it
    shutil.rmtree(tmp_path / "sdk")
    program = (*emulator, tmp_path / "moved" / "camera")
    asked = ("--size", f"{WIDTH}x{HEIGHT}", "--format", "bgr")
    printed = run(*program, *asked, "--logits", tmp_path / "frames")
    assert np.array_equal(logits(printed), reference(bundle, frames))
    if target == "host":
        _check_the_example(tmp_path / "moved" / "camera", asked, tmp_path / "frames")


def _check_the_example(program: Path, asked: Sequence[str], frames: Path) -> None:
    assert len(run(program, *asked, "--frames", "2", frames).splitlines()) == 2
    assert run(program, "--help").startswith("usage: ")
    for arguments, words, code in (
        ((*asked, frames.with_name("nothing")), "cannot open", 1),
        (("/dev/null",), "is no camera", 1),
        (("--size", "5", frames), "--size is like", 2),
        (("--size",), "needs a value", 2),
        (("--format", "yuv", frames), "--format is rgb", 2),
        (("--threads", "-1", frames), "negative", 1),
        (("--size", "50x39", frames), "ends within a frame", 1),
    ):
        finished = subprocess.run([program, *arguments], capture_output=True, text=True)
        assert (finished.returncode, words in finished.stderr) == (code, True), finished.stderr


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_a_bundle_for_another_processor(rpi4_bundle: Path, tmp_path: Path) -> None:
    write_sdk(load_target("host"), tmp_path / "sdk")
    command = ["cmake", "-S", tmp_path / "sdk" / "example", "-B", tmp_path / "app"]
    finished = subprocess.run(
        [*command, f"-DBUNDLE={rpi4_bundle}"], capture_output=True, text=True, check=False
    )
    assert finished.returncode != 0
    assert "is no bundle for x86_64" in " ".join(finished.stderr.split())


@pytest.mark.skipif(
    shutil.which("pkg-config") is None or shutil.which("gcc") is None, reason="needs pkg-config"
)
def test_pkg_config(host_bundle: Path, tmp_path: Path) -> None:
    write_sdk(load_target("host"), tmp_path / "sdk")
    environment = {**os.environ, "PKG_CONFIG_PATH": str(tmp_path / "sdk" / "lib" / "pkgconfig")}
    source = tmp_path / "program.c"
    source.write_text(
        '#include <stdio.h>\n#include "bitat_deploy.h"\n'
        "int main(int count, char** values) {\n"
        "  bitat_network* network = NULL;\n"
        "  if (count != 2 || bitat_open(values[1], NULL, &network) != BITAT_OK) return 1;\n"
        "  puts(bitat_name(network));\n"
        "  for (int i = 0; bitat_class_name(network, i) != NULL; ++i) {\n"
        "    puts(bitat_class_name(network, i));\n"
        "  }\n"
        "  bitat_close(network);\n"
        "  return bitat_version() == BITAT_VERSION ? 0 : 1;\n"
        "}\n"
    )
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "bitat_deploy"],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    run("gcc", "-std=c99", "-Wall", "-Werror", source, "-o", tmp_path / "program", *flags)
    finished = subprocess.run(
        [tmp_path / "program", host_bundle],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path / "sdk" / "lib")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert finished.stdout.splitlines() == ["drawn", *(f"class {i}" for i in range(10))]


def test_only_an_sdk_is_replaced(tmp_path: Path) -> None:
    target = load_target("host")
    files = write_sdk(target, tmp_path / "sdk")
    assert Path("include/bitat_deploy.h") in files
    assert all((tmp_path / "sdk" / file).is_file() for file in files)
    (tmp_path / "sdk" / "left-over").touch()
    write_sdk(target, tmp_path / "sdk")
    assert not (tmp_path / "sdk" / "left-over").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").touch()
    with pytest.raises(InputError, match="left unchanged"):
        write_sdk(target, tmp_path / "mine")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no SDK can be written"):
        write_sdk(target, tmp_path / "file" / "sdk")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine", "sdk"]
