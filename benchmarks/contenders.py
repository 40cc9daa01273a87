"""A network and its twins in other runtimes, each as a program that is measured in the same way.

A contender is the runner with our compiled network or with another runtime in it; for LiteRT it is
a Python program. All take the same options and print the same document.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.ncnn_twin import ncnn_twin
from bitat_deploy.baseline import (
    ONNX_RUNTIME_VERSION,
    baseline_program,
    channels_first,
    float32_twin,
    int8_twin,
    is_quantized,
    onnx_runtime_library,
)
from bitat_deploy.bundle import LIBRARY_FOLDER, RUNNER, SOURCE_ONNX, build_bundle
from bitat_deploy.errors import RunFailedError
from bitat_deploy.network import Convolution, IntegerNetwork, shape_text
from bitat_deploy.onnx_format import to_onnx
from bitat_deploy.target import Target

Status = Callable[[str], None]


@dataclass(frozen=True)
class Contender:
    """A program, the model that it runs, and the images as it takes them."""

    runtime: str
    arithmetic: str
    program: Path
    model: Path
    images: Path
    shape: tuple[int, int, int]
    interpreter: tuple[str, ...] = ()  # what runs the program, where it is no native one

    @property
    def name(self) -> str:
        """The runtime and the arithmetic, which no other contender shares."""
        return f"{self.runtime} {self.arithmetic}"

    @property
    def logits(self) -> Path:
        """Where :meth:`run` leaves float32 logits of every image."""
        return self.model.with_suffix(".logits")

    def run(
        self, *, threads: int, warmup: int, runs: int, seconds: float, launcher: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Measure at least ``runs`` runs and ``seconds``; what the program printed.

        ``launcher`` is put before the command: an emulator. Raises RunFailedError.
        """
        options = {
            "--model": self.model,
            "--images": self.images,
            "--logits": self.logits,
            "--shape": shape_text(self.shape),
            "--threads": threads,
            "--warmup": warmup,
            "--min-runs": runs,
            "--min-seconds": seconds,
        }
        words = [word for item in options.items() for word in map(str, item)]
        command = [*launcher, *self.interpreter, str(self.program), *words]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode != 0:
            lines = finished.stderr.strip().splitlines()
            reason = lines[-1] if lines else f"it ended with code {finished.returncode}"
            raise RunFailedError(f"{self.name} failed: {reason}")
        document: dict[str, Any] = json.loads(finished.stdout)
        return document


def _arithmetic(network: IntegerNetwork) -> str:
    """The bits of the second layer, which are those of all but the first one."""
    second = network.layers[1]
    assert isinstance(second, Convolution)
    return f"W{second.weight_bits}A{getattr(network.formats()[second.input], 'bits', 8)}"


def our_contender(
    network: IntegerNetwork,
    target: Target,
    images: NDArray[np.uint8],
    folder: Path,
    status: Status = lambda message: None,
) -> tuple[Contender, Path]:
    """The network itself, built for ``target`` in ``folder``, and its ONNX file.

    ``images`` uint8 [N, H, W, C]. Raises BuildError, UnsupportedOperatorError.
    """
    model = folder / f"{network.name}.onnx"
    onnx.save(to_onnx(network), model)
    bundle = build_bundle(model, target, folder / "bundle", status)
    path = folder / "images"
    images.tofile(path)
    contender = Contender(
        runtime="bitat-deploy",
        arithmetic=_arithmetic(network),
        program=bundle.directory / RUNNER,
        model=bundle.directory / bundle.model_file,
        images=path,
        shape=network.input_shape,
    )
    return contender, model


def onnx_runtime_contenders(
    network: IntegerNetwork,
    target: Target,
    images: NDArray[np.uint8],
    folder: Path,
    status: Status = lambda message: None,
) -> tuple[Contender, ...]:
    """The float32 and int8 twins in ONNX Runtime. Raises BuildError, UnsupportedOperatorError."""
    place = folder / "onnxruntime"
    program = _onnx_runtime_program(place, target, status)
    path = place / "images"
    np.ascontiguousarray(images.transpose(0, 3, 1, 2)).tofile(path)  # channels first
    status("making float32 and int8 twins of the network")
    float32 = float32_twin(network)
    contenders = []
    for arithmetic, twin in {"float32": float32, "int8": int8_twin(float32)}.items():
        model = place / f"{arithmetic}.onnx"
        model.write_bytes(twin.SerializeToString())
        contenders.append(
            Contender(
                f"ONNX Runtime {ONNX_RUNTIME_VERSION}",
                arithmetic,
                program,
                model,
                path,
                network.input_shape,
            )
        )
    return tuple(contenders)


def file_contenders(
    file: Path,
    target: Target,
    images: NDArray[np.uint8],
    folder: Path,
    status: Status = lambda message: None,
) -> tuple[tuple[Contender, Contender], Path]:
    """A file from elsewhere as we build it, and in ONNX Runtime, both from the uint8 image.

    Also returns the file as ONNX Runtime runs it, from images of [N, H, W, C]. Raises what
    building it raises.
    """
    bundle = build_bundle(file, target, folder / "bundle", status)
    shape = bundle.manifest.model.input_shape
    path = folder / "images"
    images.tofile(path)
    ours = Contender(
        runtime="bitat-deploy",
        arithmetic="of the file",
        program=bundle.directory / RUNNER,
        model=bundle.directory / bundle.model_file,
        images=path,
        shape=shape,
    )
    place, source = folder / "onnxruntime", bundle.directory / SOURCE_ONNX
    program = _onnx_runtime_program(place, target, status)
    given = onnx.load(source)
    arithmetic = "int8" if is_quantized(given) else "float32"
    model = place / f"{arithmetic}.onnx"
    onnx.save(channels_first(given), model)
    others = place / "images"
    np.ascontiguousarray(images.transpose(0, 3, 1, 2)).tofile(others)  # channels first
    runtime = f"ONNX Runtime {ONNX_RUNTIME_VERSION}"
    return (ours, Contender(runtime, arithmetic, program, model, others, shape)), source


def _onnx_runtime_program(place: Path, target: Target, status: Status) -> Path:
    """The program that measures ONNX Runtime, in the new folder ``place``."""
    (place / LIBRARY_FOLDER).mkdir(parents=True)
    (place / LIBRARY_FOLDER / "libonnxruntime.so").symlink_to(onnx_runtime_library(target))
    program = place / "baseline"
    shutil.copy2(baseline_program(target, status), program)
    return program


@dataclass(frozen=True)
class PythonSite:
    """Where a program in Python runs: its interpreter, and a folder with its packages or None.

    None are those of this interpreter. The program is copied into the folder.
    """

    interpreter: tuple[str, ...] = (sys.executable,)
    packages: Path | None = None

    def place(self, name: str) -> Path:
        """Path of our program ``name``, beside the packages."""
        source = Path(__file__).with_name(name)
        if self.packages is None:
            return source
        return Path(shutil.copy2(source, self.packages / name))


def litert_contenders(
    network: IntegerNetwork,
    images: NDArray[np.uint8],
    folder: Path,
    site: PythonSite = PythonSite(),
) -> tuple[Contender, ...]:
    """The float32 and int8 twins in LiteRT with XNNPACK, on this machine or in ``site``.

    Empty where the package ai-edge-litert is not installed. Raises UnsupportedOperatorError.
    """
    if importlib.util.find_spec("ai_edge_litert") is None:
        return ()
    from benchmarks.litert_twin import litert_twin

    path = folder / "images"
    images.tofile(path)
    contenders = []
    for arithmetic in ("float32", "int8"):
        model = folder / f"{arithmetic}.tflite"
        model.write_bytes(litert_twin(network, quantized=arithmetic == "int8"))
        contenders.append(
            Contender(
                f"LiteRT {metadata.version('ai-edge-litert')}",
                arithmetic,
                site.place("litert_program.py"),
                model,
                path,
                network.input_shape,
                interpreter=site.interpreter,
            )
        )
    return tuple(contenders)


def ncnn_contenders(
    network: IntegerNetwork,
    images: NDArray[np.uint8],
    folder: Path,
    version: str,
    site: PythonSite = PythonSite(),
) -> tuple[Contender, ...]:
    """The float32 and int8 twins in ncnn, with weights of zeros, as in its own benchmark.

    Raises UnsupportedOperatorError.
    """
    path = folder / "images"
    images.tofile(path)
    contenders = []
    for arithmetic in ("float32", "int8"):
        model = folder / f"{arithmetic}.param"
        model.write_text(ncnn_twin(network, quantized=arithmetic == "int8"))
        contenders.append(
            Contender(
                f"ncnn {version}",
                arithmetic,
                site.place("ncnn_program.py"),
                model,
                path,
                network.input_shape,
                interpreter=site.interpreter,
            )
        )
    return tuple(contenders)


def installed_ncnn(
    network: IntegerNetwork, images: NDArray[np.uint8], folder: Path
) -> tuple[Contender, ...]:
    """ncnn's contenders on this machine; none where the package ncnn is not installed."""
    if importlib.util.find_spec("ncnn") is None:
        return ()
    place = folder / "ncnn"
    place.mkdir()
    return ncnn_contenders(network, images, place, metadata.version("ncnn"))
