"""ONNX Runtime's library for a target: one version for all, so that ratios compare."""

import hashlib
from importlib import metadata
from pathlib import Path

from bitat_deploy.bundle import WheelLibraries
from bitat_deploy.errors import BuildError
from bitat_deploy.target import Target

ONNX_RUNTIME_VERSION = "1.31.1"
LIBRARY = "libonnxruntime.so"
_PLACE = f"onnxruntime/capi/{LIBRARY}.{ONNX_RUNTIME_VERSION}"

# Of the library, not of the wheel.
_SHA256 = {
    "aarch64": "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
    "x86_64": "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
}


def has_onnx_runtime(target: Target) -> bool:
    """Whether there is an ONNX Runtime for ``target``."""
    return target.architecture in _SHA256


def check_onnx_runtime(target: Target) -> None:
    """Raise BuildError if there is no ONNX Runtime for ``target``."""
    if not has_onnx_runtime(target):
        raise BuildError(
            f"target '{target.name}' is for {target.architecture}, for which there is no ONNX "
            "Runtime; leave out --baseline"
        )


def onnx_runtime_library(target: Target) -> Path:
    """Path of the library for ``target``: the installed one where it is the same, or fetched once.

    Raises BuildError where there is none, or it cannot be fetched.
    """
    check_onnx_runtime(target)
    sha256 = _SHA256[target.architecture]
    installed = Path(str(metadata.distribution("onnxruntime").locate_file(_PLACE)))
    if installed.is_file() and hashlib.sha256(installed.read_bytes()).hexdigest() == sha256:
        return installed
    (path,) = WheelLibraries(
        title="ONNX Runtime's libraries",
        architecture=target.architecture,
        folder=f"{target.architecture}-onnxruntime-{ONNX_RUNTIME_VERSION}",
        package="bitat_deploy.baseline",
        requirements=f"requirements-{target.architecture}.txt",
        places={LIBRARY: _PLACE},
        sha256={LIBRARY: sha256},
    ).paths()
    return path
