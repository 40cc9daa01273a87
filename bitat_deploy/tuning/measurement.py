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

from bitat_deploy.bundle import include_directory, native_program, runtime_libraries
from bitat_deploy.device import Connection, Limit, Result, RunFolder
from bitat_deploy.errors import RunFailedError
from bitat_deploy.plain_text import foreign_text
from bitat_deploy.records import OK, OUTCOMES
from bitat_deploy.target import Target
from bitat_deploy.tuning.building import Kernel
from bitat_deploy.tuning.options import Effort
from bitat_deploy.tuning.task import Check

MEASURE_KERNELS = "measure_kernels"

_BATCH = "batch"
_OTHERS_TURN = 3600.0  # seconds in which another tune may measure on the device
_MAGIC = b"bitat-deploy kernels 1\n"
_TYPE_CODES = {"i": 0, "u": 1, "f": 2}  # DLPack's
_LONGEST_NS = 3600e9  # of one call: no candidate may take so long


@dataclass(frozen=True)
class Timed:
    """The outcome of a candidate; ``time`` is that of one call in ns or cycles, 0 unless OK."""

    outcome: str
    time: float
    message: str = ""


@dataclass(frozen=True)
class TimedBatch:
    """Times of a batch; ``noise`` is the share by which the default schedule's time changed."""

    reference_ns: float
    noise: float
    candidates: tuple[Timed, ...]


def measuring_program(target: Target, status: Callable[[str], None] = lambda message: None) -> Path:
    """Path of the program for ``target``; ``status`` hears of long steps. Raises BuildError."""
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
    """Measure ``kernels`` beside ``reference``, the default, with the program in ``folder``.

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
    longest = (1 + len(kernels)) * effort.rounds * effort.timeout_ms / 1000
    result = folder.run(command, limit=Limit(seconds=_OTHERS_TURN + longest))
    if result.exit_code != 0:
        raise _failed(folder.connection, result)
    return parse_batch(result.stdout, folder.connection.name, len(kernels), effort.rounds)


def parse_batch(content: bytes, device: str, count: int, rounds: int) -> TimedBatch:
    """Read what the program on ``device`` printed of the default and ``count`` other schedules.

    Raises RunFailedError where that is no result, or one of other counts or impossible times.
    """
    try:
        return _parse(json.loads(content), count, rounds)
    except (ValueError, RecursionError) as error:
        raise RunFailedError(
            f"what the measuring program on '{device}' printed is no result of {count + 1} "
            "candidates; run tune again: it continues where it stopped"
        ) from error


def batch_content(check: Check, kernels: Sequence[Kernel]) -> bytes:
    """A batch file; its format is described in ``native/batch.h``."""
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


def _parse(document: Any, count: int, rounds: int) -> TimedBatch:
    entries = document.get("candidates") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) != 1 + count:
        raise ValueError
    first, *others = entries
    reference = _timed(first, rounds + 1)  # also after the last round, to tell the noise
    if reference.outcome != OK:
        raise RunFailedError(
            "the default schedule fails on the device "
            f"({reference.outcome}{': ' * bool(reference.message)}{reference.message}), so "
            "there is nothing to compare with: report it as a bug in bitat-deploy"
        )
    noise = max(first["min_ns"]) / min(first["min_ns"]) - 1
    return TimedBatch(reference.time, noise, tuple(_timed(entry, rounds) for entry in others))


def _timed(entry: Any, rounds: int) -> Timed:
    if not isinstance(entry, dict) or entry.get("outcome") not in OUTCOMES:
        raise ValueError
    if entry["outcome"] != OK:
        return Timed(entry["outcome"], 0.0, foreign_text(str(entry.get("message", ""))))
    times = entry.get("min_ns")
    if not isinstance(times, list) or len(times) != rounds:
        raise ValueError
    if not all(type(time) in (int, float) and 0 < time <= _LONGEST_NS for time in times):
        raise ValueError
    return Timed(OK, float(min(times)))


def _failed(connection: Connection, result: Result) -> RunFailedError:
    reason = result.last_error.removeprefix("error: ")
    if "No space left" in result.stderr:
        return RunFailedError(
            f"the disk of '{connection.name}' is full ({reason}); make room there, and run tune "
            "again: it continues where it stopped"
        )
    return RunFailedError(
        f"the measuring program on '{connection.name}' failed: {reason}; run tune again: it "
        "continues where it stopped"
    )
