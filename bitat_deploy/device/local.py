"""This machine as the device."""

from collections.abc import Sequence
from pathlib import Path

from bitat_deploy.device.answer import Answer
from bitat_deploy.device.connection import USUAL, Limit, LineSink, Result
from bitat_deploy.device.processes import Processes


class LocalConnection:
    """Runs commands on this machine, as an SSH connection would on another."""

    name = "local"
    folder = ""

    def __init__(self) -> None:
        self._processes = Processes()

    def __enter__(self) -> "LocalConnection":
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing stays open: ``run`` leaves no process behind."""

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: Path | None = None,
        on_error: LineSink | None = None,
        limit: Limit = USUAL,
    ) -> Result:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        answer = Answer(self.name, limit, on_error)
        code = self._processes.run(command, stdin, answer)
        return Result(code if code >= 0 else 128 - code, *answer.finish())

    def interrupt(self) -> None:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        self._processes.interrupt()
