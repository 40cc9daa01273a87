"""This machine as the device."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from bitat_deploy.device.connection import LineSink, Result
from bitat_deploy.device.error_lines import ErrorLines
from bitat_deploy.errors import RunFailedError


class LocalConnection:
    """Runs commands on this machine, as an SSH connection would on another."""

    name = "local"

    def __init__(self) -> None:
        self._running: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "LocalConnection":
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing stays open: ``run`` leaves no process behind."""

    def run(
        self, command: Sequence[str], *, stdin: Path | None = None, on_error: LineSink | None = None
    ) -> Result:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(stdin.open("rb")) if stdin else subprocess.PIPE
            try:
                process = subprocess.Popen(
                    list(command),
                    stdin=source,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                raise RunFailedError(f"'{command[0]}' cannot be started: {error}") from error
            stack.enter_context(_ended(process))
            self._running = process
            stack.callback(setattr, self, "_running", None)
            assert process.stdout is not None and process.stderr is not None
            errors = ErrorLines(process.stderr, on_error)
            stdout = process.stdout.read()
            stderr = errors.finish()
            code = process.wait()
        return Result(code if code >= 0 else 128 - code, stdout, stderr)

    def interrupt(self) -> None:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        process = self._running
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """End the process and all that it started on the way out, also after Ctrl-C."""
    try:
        yield
    finally:
        if process.poll() is None:
            # Before its pipes are closed: whoever reads one holds it until it ends.
            os.killpg(process.pid, signal.SIGKILL)
        process.__exit__(None, None, None)
