"""What was done on a device, command by command, for Python's logging."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from bitat_deploy.device.connection import USUAL, Connection, Limit, LineSink, Result
from bitat_deploy.errors import BitatDeployError
from bitat_deploy.plain_text import foreign_text

# Gets a line at level INFO for each command, and one for its end.
LOGGER = logging.getLogger("bitat_deploy.device")

_LONGEST_COMMAND = 1000


class LoggedConnection:
    """Another connection, whose commands are logged."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def name(self) -> str:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        return self._connection.name

    @property
    def folder(self) -> str:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        return self._connection.folder

    @folder.setter
    def folder(self, folder: str) -> None:
        self._connection.folder = folder

    def __enter__(self) -> "LoggedConnection":
        self._log("connecting")
        self._connection.__enter__()
        self._log("connected")
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.__exit__(*exception)
        self._log("closed")

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: Path | None = None,
        on_error: LineSink | None = None,
        limit: Limit = USUAL,
    ) -> Result:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        given = f" < {stdin} ({stdin.stat().st_size:,} bytes)" if stdin is not None else ""
        self._log(f"$ {foreign_text(' '.join(command), _LONGEST_COMMAND)}{given}")
        start = time.monotonic()
        try:
            result = self._connection.run(command, stdin=stdin, on_error=on_error, limit=limit)
        except BitatDeployError as error:
            self._log(f"failed after {time.monotonic() - start:.2f} s: {error}")
            raise
        said = f", {result.last_error}" if result.exit_code and result.stderr else ""
        self._log(
            f"exit code {result.exit_code} after {time.monotonic() - start:.2f} s, "
            f"{len(result.stdout):,} bytes{said}"
        )
        return result

    def interrupt(self) -> None:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        self._log("interrupting the command")
        self._connection.interrupt()

    def _log(self, words: str) -> None:
        LOGGER.info("%s: %s", foreign_text(self.name), words)
