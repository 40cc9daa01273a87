"""Whether all ways to run a network on photos give the same logits, bit for bit.

The ways are ``bench``, ``run``, and the device library from C, C++ and Python. The first two read
the photos' files on this machine; the others get the decoded photo as a camera gives a frame, and
crop and resize it on the device.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bitat_deploy.api import bench
from bitat_deploy.bundle import Bundle, build_program, runner_folder
from bitat_deploy.datasets import IMAGE_FOLDER, load_dataset, load_picture
from bitat_deploy.device import BenchOptions, classify, connect
from bitat_deploy.onnx_format import reference_logits

Logits = NDArray[np.float32]
_ROOT = Path(__file__).parents[1]
_C_PROGRAM = _ROOT / "tests" / "bundle" / "device_library.c"
SIZES = ((640, 480), (400, 300), (52, 39), (1024, 768), (320, 240), (200, 150))  # all of 4:3


def draw_photos(count: int, classes: int, folder: Path) -> list[Path]:
    """``count`` pictures of 4:3 in CLASS/, as JPEG and PNG, with edges and noise; their files."""
    generator = np.random.default_rng(count)
    files = []
    for index in range(count):
        width, height = SIZES[index % len(SIZES)]
        coarse = generator.integers(0, 256, (3 + index % 7, 4 + index % 5, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(coarse).resize((width, height), index % 2 * 3))
        noise = generator.integers(-20, 21, picture.shape)
        pixels = np.clip(picture.astype(np.int64) + noise, 0, 255).astype(np.uint8)
        path = folder / f"class{index % classes}" / f"{index:03}.{('jpg', 'png')[index % 2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        files.append(path)
    return files


def logits_of_all_ways(
    bundle: Bundle, photos: Path, work: Path, device: str
) -> Iterator[tuple[str, Logits]]:
    """The ways' names and logits [N, classes] of the photos in the folder, in one order.

    The first is ONNX Runtime on the images that ``bench`` takes. ``device`` is for the library's
    programs: an emulator's command, or nothing.
    """
    model = bundle.manifest.model
    dataset = load_dataset(
        IMAGE_FOLDER, "test", photos, model.input_shape, preprocessing=model.preprocessing
    )
    found = {path.name: path for path in photos.rglob("*.*")}
    files = [found[name] for name in dataset.files]
    expected = reference_logits(bundle.directory / "model.onnx", dataset.images)
    yield "ONNX Runtime", expected
    options = BenchOptions(warmup=0, min_runs=1, min_seconds=0)
    with connect("local") as connection:
        if bundle.manifest.target.name == "host":
            result = bench(bundle, connection, data=photos, options=options)
            assert result.accuracy.images == len(files)
            yield "bench", expected if result.accuracy.logits_equal else expected + np.nan
            pictures = [
                load_picture(path, model.input_shape, model.preprocessing) for path in files
            ]
            yield "run", classify(bundle, connection, np.stack(pictures))
    frames = [np.asarray(Image.open(path).convert("RGB")) for path in files]
    yield "C", _by_c(bundle, frames, work, device.split())
    yield "C++", _by_cpp(bundle, frames, work, device.split())
    if bundle.manifest.target.name == "host":
        yield "Python", _by_python(bundle, frames)


def _by_c(bundle: Bundle, frames: list[NDArray[np.uint8]], work: Path, device: list[str]) -> Logits:
    work.mkdir(exist_ok=True)
    triple = _triple(bundle)
    with runner_folder() as sources:
        command = [sys.executable, "-m", "ziglang", "cc", *triple, "-O2", "-c", "-I"]
        command += [str(sources / "library"), str(_C_PROGRAM), "-o", str(work / "c.o")]
        subprocess.run(command, check=True)
    build_program([work / "c.o"], bundle, work / "c")
    return _by_size(
        frames,
        work / "frames",
        lambda width, height: [*device, work / "c", "frames", work, work / "frames", width, height],
    )


def _by_cpp(
    bundle: Bundle, frames: list[NDArray[np.uint8]], work: Path, device: list[str]
) -> Logits:
    with runner_folder() as sources:
        build_program([sources / "sdk" / "camera.cc"], bundle, work / "camera")
    return _by_size(
        frames,
        work / "frames",
        lambda width, height: [
            *(*device, work / "camera", "--logits"),
            *("--size", f"{width}x{height}", work / "frames"),
        ],
    )


def _by_size(
    frames: list[NDArray[np.uint8]], file: Path, command: Callable[[int, int], list[Any]]
) -> Logits:
    """The logits that a program prints for all frames of a size, in a file, and then the next."""
    rows: dict[int, list[str]] = {}
    for size in {frame.shape for frame in frames}:
        places = [place for place, frame in enumerate(frames) if frame.shape == size]
        file.write_bytes(b"".join(frames[place].tobytes() for place in places))
        words = list(map(str, command(size[1], size[0])))
        printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        for place, line in zip(places, printed.splitlines(), strict=True):
            rows[place] = line.rpartition(": ")[2].split()
    return np.array([rows[place] for place in range(len(frames))], np.float64).astype(np.float32)


def _by_python(bundle: Bundle, frames: list[NDArray[np.uint8]]) -> Logits:
    place = bundle.directory / "bitat_device.py"
    specification = importlib.util.spec_from_file_location("bitat_device", place)
    assert specification is not None and specification.loader is not None
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    with module.Network() as network:
        return np.array([network.logits(frame) for frame in frames], np.float32)


def _triple(bundle: Bundle) -> list[str]:
    target = bundle.manifest.target
    if target.is_static:
        return ["-target", "arm-linux-musleabihf"]
    return ["-target", f"{target.architecture}-linux-gnu.{target.glibc}"]
