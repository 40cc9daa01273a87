"""Work on a file that may come from anywhere, in a process with limits of memory and time."""

import ctypes
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from bitat_deploy.errors import BitatDeployError, InputError
from bitat_deploy.plain_text import foreign_text

_Result = TypeVar("_Result")

# Before anything is imported: the child looks for modules where this process does, and not in
# the folder that it happens to be started in.
_CHILD = (
    "import sys; sys.path.pop(0); import pickle; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from bitat_deploy.bounded_process import serve; serve()"
)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)

# How the libraries below us say that an allocation failed, where it is no MemoryError.
_NO_MEMORY = re.compile("bad.alloc|AllocateRaw|Failed to allocate|out of memory", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """What work on a file may take: memory that it writes to, and time."""

    memory_bytes: int = 4 << 30
    seconds: float = 600.0


DEFAULT_LIMITS = Limits()


class _DefectError(Exception):
    """What else than an error of ours the work ended with: a defect, with its traceback."""


def run_bounded(
    what: str, limits: Limits, function: Callable[..., _Result], *arguments: Any
) -> _Result:
    """``function(*arguments)`` in a process of its own, which ends with this one.

    The function is one of a module; it, arguments and result travel by pickle. What the process
    prints is dropped. ``what`` says in messages what it does, as in "compiling 'model.onnx'".
    Raises what the function raises of our errors, and InputError where it needs more than
    ``limits`` or crashes.
    """
    request = pickle.dumps(sys.path) + pickle.dumps((os.getpid(), limits, function, arguments))
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=output,
            start_new_session=True,  # so that Ctrl-C comes to us alone, and all of it can be ended
        )
        try:
            process.communicate(request, timeout=limits.seconds)
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"{what} takes more than {limits.seconds:g} seconds; make the network smaller, or "
                "allow more with --import-time"
            ) from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        answer.seek(0)
        content = answer.read()
        if process.returncode == 0 and content:
            succeeded, value = pickle.loads(content)  # noqa: S301  our own process wrote it
            if succeeded:
                result: _Result = value
                return result
            raise _no_memory(what, limits) if isinstance(value, MemoryError) else value
        output.seek(max(0, output.seek(0, os.SEEK_END) - 4000))
        lines = output.read().decode(errors="replace").strip().splitlines()
    raise _died(what, limits, process.returncode, foreign_text(lines[-1] if lines else ""))


def _died(what: str, limits: Limits, code: int, last_line: str) -> InputError:
    if code == -signal.SIGKILL or _NO_MEMORY.search(last_line):
        return _no_memory(what, limits)
    reason = signal.strsignal(-code) if code < 0 else f"exit code {code}"
    said = f": {last_line}" if last_line else ""
    return InputError(f"{what} crashed ({reason}{said}); make the network smaller or simpler")


def _no_memory(what: str, limits: Limits) -> InputError:
    return InputError(
        f"{what} takes more than {limits.memory_bytes / (1 << 30):g} GiB of memory, or than there "
        "is; make the network smaller, or allow more with --import-memory"
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory could not be had; ONNX Runtime and TVM have no exception of their own."""
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


def serve() -> None:
    """In the child: do the work that standard input describes, and answer."""
    parent, limits, function, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301
    library = ctypes.CDLL(None)
    if hasattr(library, "prctl"):  # not on macOS
        library.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What libraries print must not come between.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        content = pickle.dumps((True, function(*arguments)))
    except BitatDeployError as error:
        content = pickle.dumps((False, error))
    except Exception as error:  # a defect, told with its traceback
        failure = _DefectError(traceback.format_exc())
        content = pickle.dumps((False, MemoryError() if is_out_of_memory(error) else failure))
    answer.write(content)
    answer.flush()
    os._exit(0)  # without the end of libraries whose threads may hang
