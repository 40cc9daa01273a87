"""Programs on this machine that answer within a limit: of ours, or ssh's."""

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from bitat_deploy.device.answer import Answer
from bitat_deploy.errors import RunFailedError

_BLOCK = 1 << 18


class Processes:
    """Runs one program after the other and leaves none behind."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[bytes] | None = None

    def run(self, command: Sequence[str], stdin: Path | None, answer: Answer) -> int:
        """Run ``command`` to its end; its exit code, -N where signal N ended it.

        Its standard input is the file ``stdin``, or stays open. Raises RunFailedError where it
        cannot be started, and as ``answer`` does.
        """
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(stdin.open("rb")) if stdin else subprocess.PIPE
            try:
                process = subprocess.Popen(
                    list(command),
                    stdin=source,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is ours to handle: first tidy up there
                )
            except OSError as error:
                raise RunFailedError(f"'{command[0]}' cannot be started: {error}") from error
            stack.enter_context(_ended(process))
            self._running = process
            stack.callback(setattr, self, "_running", None)
            _read(process, answer)
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=1)
                answer.check_time()

    def interrupt(self) -> None:
        """From another thread: end the program that runs, and all that it started."""
        process = self._running
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _read(process: "subprocess.Popen[bytes]", answer: Answer) -> None:
    assert process.stdout is not None and process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, answer.take_output)
        selector.register(process.stderr, selectors.EVENT_READ, answer.take_errors)
        while selector.get_map():
            for key, _ in selector.select(timeout=1):
                data = os.read(key.fd, _BLOCK)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fileobj)
            answer.check_time()


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
