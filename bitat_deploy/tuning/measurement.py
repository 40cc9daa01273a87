"""Measuring a batch of kernels on a device that is connected."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitat_deploy.compiler.record import OK, OUTCOMES
from bitat_deploy.device.connection import Connection, Result
from bitat_deploy.device.push import RunFolder
from bitat_deploy.errors import RunFailedError
from bitat_deploy.tuning.kernel import Kernel, batch_content
from bitat_deploy.tuning.measuring_program import MEASURE_KERNELS
from bitat_deploy.tuning.options import Effort
from bitat_deploy.tuning.task import Check

_BATCH = "batch"


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
