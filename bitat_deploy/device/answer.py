"""What a command answers, taken in within its limit."""

import time
from collections.abc import Callable

from bitat_deploy.device.connection import Limit, LineSink
from bitat_deploy.errors import RunFailedError
from bitat_deploy.plain_text import foreign_text

# Progress is a line a second at most, so this is many hours of it.
_ERROR_BYTES = 4 << 20
_GREETING_BYTES = 1 << 16


class Answer:
    """Standard output and standard error of a command that runs.

    Where there is a ``mark``, the answer begins after it on standard output; what comes before is
    a login shell's greeting. Every method raises RunFailedError beyond the limit.
    """

    def __init__(
        self, device: str, limit: Limit, on_error: LineSink | None, mark: bytes = b""
    ) -> None:
        self._device, self._limit, self._mark = device, limit, mark
        self._deadline = time.monotonic() + limit.seconds
        self._output = bytearray()
        self._errors = _Lines(on_error)

    def take_output(self, data: bytes) -> None:
        """Add to standard output."""
        self._output += data
        if self._mark:
            greeting, found, rest = self._output.partition(self._mark)
            if found:
                self._output, self._mark = rest, b""
            elif len(greeting) > _GREETING_BYTES:
                raise self._exceeded(f"greets with more than {_GREETING_BYTES:,} bytes")
        elif len(self._output) > self._limit.bytes:
            raise self._exceeded(
                f"answers with more than the {self._limit.bytes:,} bytes that were expected"
            )

    def take_errors(self, data: bytes) -> None:
        """Add to standard error."""
        if self._errors.take(data) > _ERROR_BYTES:
            raise self._exceeded(f"reports errors in more than {_ERROR_BYTES:,} bytes")

    def check_time(self) -> None:
        """To be called every second or so."""
        if time.monotonic() > self._deadline:
            raise self._exceeded(f"has not finished within {self._limit.seconds:g} s")

    def finish(self) -> tuple[bytes, str]:
        """All of standard output, and all of standard error."""
        self._errors.finish()
        if self._mark:
            said = bytes(self._output).decode(errors="replace") + self._errors.text
            words = foreign_text("".join(said.strip().splitlines()[-1:])) or "it says nothing"
            raise RunFailedError(
                f"'{self._device}' lets us in but runs no command: {words}; "
                "see to it that its login shell runs commands given to ssh"
            )
        if len(self._output) > self._limit.bytes:  # all of it came with the mark
            self.take_output(b"")
        return bytes(self._output), self._errors.text

    def _exceeded(self, what: str) -> RunFailedError:
        return RunFailedError(
            f"'{self._device}' {what}; the command there was stopped: "
            "run it again, and doubt the device if that does not help"
        )


class _Lines:
    """Text that is passed on line by line as it comes."""

    def __init__(self, sink: Callable[[str], None] | None) -> None:
        self._sink = sink
        self._content = bytearray()
        self._passed = 0

    @property
    def text(self) -> str:
        return self._content.decode(errors="replace")

    def take(self, data: bytes) -> int:
        """Add ``data``; how many bytes there are in all."""
        self._content += data
        end = self._content.rfind(b"\n", len(self._content) - len(data)) + 1
        if end and self._sink is not None:
            for line in self._content[self._passed : end].splitlines():
                self._sink(line.decode(errors="replace"))
        self._passed = end or self._passed
        return len(self._content)

    def finish(self) -> None:
        """Pass on the last line, if no newline ends it."""
        rest = self._content[self._passed :].rstrip(b"\r\n")
        if rest and self._sink is not None:
            self._sink(rest.decode(errors="replace"))
