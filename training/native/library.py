"""The C kernels of training: compiled once for this machine, kept in the cache."""

import ctypes
import functools
import hashlib
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bitat_deploy.paths import cache_directory
from bitat_deploy.training.processor import processor_features

_SOURCES = ("normalize.c", "sign.c", "depthwise.c", "quantize.c", "rprelu.c")
_OPTIONS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-sanitize=all", "-fPIC", "-shared")


@functools.cache
def kernels() -> ctypes.CDLL | None:
    """The compiled kernels, or None where no compiler is at hand.

    zig's C compiler builds them: the package needs zig anyway, and so no system compiler.
    """
    folder = resources.files(__package__)
    sources = {name: folder.joinpath(name).read_text() for name in _SOURCES}
    # -march=native depends on them, and a cache may serve different machines.
    built_from = f"{sources}{_OPTIONS}{sorted(processor_features())}"
    key = hashlib.sha256(built_from.encode()).hexdigest()[:16]
    path = cache_directory() / "training" / f"kernels-{key}.so"
    if not path.exists() and not _compile(sources, path):
        return None
    return _declared(ctypes.CDLL(str(path)))


def kernels_for(values: Tensor) -> ctypes.CDLL | None:
    """The kernels, where they can take ``values``: float32 on the processor; else None.

    Nothing is compiled for other tensors, such as the meta ones that only have shapes. A tracer,
    such as torch's export to ONNX, sees PyTorch's own operations.
    """
    fits = values.device.type == "cpu" and values.dtype == torch.float32
    return kernels() if fits and not torch.jit.is_tracing() else None


def pointer(tensor: Tensor) -> ctypes.c_void_p:
    """Address of a tensor's first value; the caller keeps the tensor alive."""
    return ctypes.c_void_p(tensor.data_ptr())


def check(status: int) -> None:
    """Kernels return 1 when they get no memory."""
    if status:
        raise MemoryError("out of memory in a training kernel")


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    address, long = ctypes.c_void_p, ctypes.c_long
    library.channel_moments.argtypes = [address, long, long, address, address]
    library.normalized.argtypes = [ctypes.c_int, address, long, long, *[address] * 4]
    library.normalized.restype = None
    library.normalized_backward.argtypes = [
        *(ctypes.c_int, address, address, long, long),
        *[address] * 9,
    ]
    library.sign_values.argtypes = [address, long, address]
    library.sign_values.restype = None
    library.sign_values_backward.argtypes = [address, address, long, address]
    library.sign_values_backward.restype = None
    for name in ("forward", "backward_weight"):
        kernel = getattr(library, f"depthwise_{name}")
        kernel.argtypes = [address, address, *[long] * 5, ctypes.c_float, address]
    library.depthwise_backward_input.argtypes = [address, address, *[long] * 5, address]
    real = ctypes.c_float
    rows: list[Any] = [long, long, address]
    library.quantize_levels.argtypes = [address, *rows, *[real] * 4, address]
    library.quantize_levels.restype = None
    library.quantize_levels_backward.argtypes = [*[address] * 3, *rows, real, real, *[address] * 2]
    library.quantize_levels_backward.restype = None
    library.rprelu.argtypes = [address, long, long, *[address] * 4]
    library.rprelu.restype = None
    library.rprelu_backward.argtypes = [address, address, long, long, *[address] * 6]
    return library


def _compile(sources: dict[str, str], path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as name:
            folder = Path(name)
            for file, source in sources.items():
                (folder / file).write_text(source)
            built = folder / "kernels.so"
            inputs = [str(folder / file) for file in sources]
            subprocess.run(
                [sys.executable, "-m", "ziglang", "cc", *_OPTIONS, *inputs, "-o", str(built)],
                check=True,
                capture_output=True,
            )
            built.replace(path)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
