"""Kernels measured on a connected device: the program there, its batch files, its results."""

import json
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.bundle.native_program import native_program
from bitat_deploy.bundle.runtime_libraries import include_directory, runtime_libraries
from bitat_deploy.compiler.record import OK, OUTCOMES
from bitat_deploy.device import Connection, Result, RunFolder
from bitat_deploy.errors import RunFailedError
from bitat_deploy.target import Target
from bitat_deploy.tuning.building import Kernel
from bitat_deploy.tuning.options import Effort
from bitat_deploy.tuning.task import Check

MEASURE_KERNELS = "measure_kernels"

_BATCH = "batch"
_MAGIC = b"bitat-deploy kernels 1\n"
_TYPE_CODES = {"i": 0, "u": 1, "f": 2}  # DLPack's


@dataclass(frozen=True)
class Timed:
    """What became of a candidate; ``time`` is that of one call, in ns or cycles, if OK, else 0."""

    outcome: str
    time: float
    message: str = ""


@dataclass(frozen=True)
class TimedBatch:
    """The default schedule's time, the candidates', and the share by which the former changed."""

    reference_ns: float
    noise: float
    candidates: tuple[Timed, ...]


def measuring_program(target: Target, status: Callable[[str], None] = lambda message: None) -> Path:
    """Path of the program for ``target``; ``status`` is told what takes long. Raises BuildError."""
    with resources.as_file(resources.files("bitat_deploy.tuning.native")) as folder:
        return native_program(
            MEASURE_KERNELS,
            sorted([*folder.glob("*.cc"), *folder.glob("*.h")]),
            target,
            packages=("ziglang", "apache-tvm", "apache-tvm-ffi"),
            include_directories=[include_directory()],
            libraries=runtime_libraries(target),
            status=status,
        )


def measure_batch(
    folder: RunFolder,
    check: Check,
    reference: Kernel,
    kernels: Sequence[Kernel],
    effort: Effort,
) -> TimedBatch:
    """Measure ``kernels`` next to ``reference``, the default, with the program in ``folder``.

    Raises RunFailedError.
    """
    content = batch_content(check, [reference, *kernels])
    with tempfile.NamedTemporaryFile(prefix="bitat-deploy-") as file:
        file.write(content)
        file.flush()
        sent = folder.write(_BATCH, Path(file.name))
    if sent.exit_code != 0:
        raise _failed(folder.connection, sent)
    command = [f"./{MEASURE_KERNELS}", "--batch", _BATCH, "--lock", ".."]
    command += ["--rounds", str(effort.rounds), "--threads", str(effort.threads)]
    command += ["--warmup-ms", str(effort.warmup_ms), "--measure-ms", str(effort.measure_ms)]
    command += ["--timeout-ms", str(effort.timeout_ms), "--cool-down-ms", str(effort.cool_down_ms)]
    result = folder.run(command)
    if result.exit_code != 0:
        raise _failed(folder.connection, result)
    try:
        return _parse(json.loads(result.stdout), len(kernels))
    except (ValueError, KeyError, TypeError) as error:
        raise RunFailedError(
            f"what the measuring program on '{folder.connection.name}' printed is no result"
        ) from error


def batch_content(check: Check, kernels: Sequence[Kernel]) -> bytes:
    """A batch file as ``native/batch.h`` describes it."""
    parts = [_MAGIC, *_tensors(check.inputs), *_tensor(check.expected), _numbers(len(kernels))]
    for kernel in kernels:
        parts += [_numbers(len(kernel.library)), kernel.library, *_tensors(kernel.constants)]
    return b"".join(parts)


def _tensors(arrays: Sequence[NDArray[Any]]) -> list[bytes]:
    return [_numbers(len(arrays)), *(part for array in arrays for part in _tensor(array))]


def _tensor(array: NDArray[Any]) -> list[bytes]:
    kind = (_TYPE_CODES[array.dtype.kind], array.dtype.itemsize * 8)
    return [_numbers(*kind, array.ndim, *array.shape), np.ascontiguousarray(array).tobytes()]


def _numbers(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def _parse(document: dict[str, Any], count: int) -> TimedBatch:
    first, *others = document["candidates"]
    if len(others) != count:
        raise ValueError
    reference = _timed(first)
    if reference.outcome != OK:
        raise RunFailedError(
            "the default schedule itself fails on the device "
            f"({reference.outcome}{': ' * bool(reference.message)}{reference.message}), so that "
            "nothing can be compared with it: report it as a defect of bitat-deploy"
        )
    times = [float(value) for value in first["min_ns"]]
    noise = max(times) / min(times) - 1
    return TimedBatch(reference.time, noise, tuple(_timed(entry) for entry in others))


def _timed(entry: dict[str, Any]) -> Timed:
    if entry["outcome"] not in OUTCOMES:
        raise ValueError
    if entry["outcome"] != OK:
        return Timed(entry["outcome"], 0.0, str(entry["message"]))
    ns = min(float(value) for value in entry["min_ns"])
    if ns <= 0:
        raise ValueError
    return Timed(OK, ns)


def _failed(connection: Connection, result: Result) -> RunFailedError:
    reason = result.last_error.removeprefix("error: ")
    if "No space left" in result.stderr:
        return RunFailedError(
            f"the disk of '{connection.name}' is full ({reason}); make room there, and run tune "
            "again: it goes on where it stopped"
        )
    return RunFailedError(
        f"the measuring program on '{connection.name}' failed: {reason}; run tune again: it goes "
        "on where it stopped"
    )
