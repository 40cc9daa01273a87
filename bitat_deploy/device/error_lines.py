"""Standard error of a running command, line by line."""

import threading
from collections.abc import Iterable

from bitat_deploy.device.connection import LineSink


class ErrorLines:
    """Reads standard error in a thread of its own, passing each line on as it comes."""

    def __init__(self, stream: Iterable[bytes], sink: LineSink | None) -> None:
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(stream, sink), daemon=True)
        self._thread.start()

    def finish(self) -> str:
        """Wait for the end of the stream and return all of it."""
        self._thread.join()
        return "".join(self._lines)

    def _read(self, stream: Iterable[bytes], sink: LineSink | None) -> None:
        for raw in stream:
            line = raw.decode(errors="replace")
            self._lines.append(line)
            if sink is not None:
                sink(line.rstrip("\r\n"))
