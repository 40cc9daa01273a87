"""What reaching a device means: running commands there. Everything else is built on that.

Files travel over a command's standard input and output, so a device needs a shell and the usual
small tools, and no file transfer service.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bitat_deploy.plain_text import foreign_text

LineSink = Callable[[str], None]

# Told in one sentence which host key was accepted, and where it was written.
OnNewHostKey = Callable[[str], None]

# Entered while the user may be asked for a password at the terminal.
Prompting = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Limit:
    """What a command may answer at most: ``bytes`` on standard output, within ``seconds``."""

    bytes: int = 1 << 20
    seconds: float = 300.0


USUAL = Limit()


@dataclass(frozen=True)
class Result:
    """How a command ended. ``exit_code`` is 128 + N where signal N ended it."""

    exit_code: int
    stdout: bytes
    stderr: str

    @property
    def last_error(self) -> str:
        """The last line on standard error, where programs say why they failed; safe to show."""
        lines = [foreign_text(line) for line in self.stderr.splitlines()]
        said = [line for line in lines if line]
        return said[-1] if said else f"it ended with exit code {self.exit_code}"


class Connection(Protocol):
    """An open connection; leaving its ``with`` block closes it and ends what still runs there.

    ``folder`` is the folder on the device in which ours is made; empty for the user's cache folder.
    """

    folder: str

    @property
    def name(self) -> str:
        """The device as the user named it."""

    def __enter__(self) -> "Connection": ...

    def __exit__(self, *exception: object) -> None: ...

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: Path | None = None,
        on_error: LineSink | None = None,
        limit: Limit = USUAL,
    ) -> Result:
        """Run ``command``, a program and its arguments, and wait for its end.

        Its standard input is the file ``stdin``, or else stays open and empty for as long as the
        connection lasts. ``on_error`` gets each line of standard error as it comes. A command that
        exceeds ``limit`` is stopped. Raises RunFailedError for that, and where the connection is
        lost; the exit code is the caller's to judge.
        """

    def interrupt(self) -> None:
        """From another thread: end the command that runs, whose ``run`` then fails or returns."""
