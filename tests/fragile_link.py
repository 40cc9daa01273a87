"""A network link to a device that a test can cut, or that cuts itself in the middle."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from tests.ssh_devices import SshDevice, write_ssh_config


class FragileLink:
    """Passes TCP connections on to ``port`` of 127.0.0.1, until it is cut.

    It cuts itself after ``limit`` bytes towards the device, if that is given.
    """

    def __init__(self, port: int, limit: int | None = None) -> None:
        self._destination = ("127.0.0.1", port)
        self._left = limit
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection and take no more."""
        for end in (self._listener, *self._sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._destination)
                self._sockets += [near, far]
                for arguments in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 14):
                if counted and self._left is not None:
                    self._left -= len(data)
                    if self._left < 0:
                        self.cut()
                        return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def fragile(
    device: SshDevice, folder: Path, limit: int | None = None
) -> Iterator[tuple[SshDevice, FragileLink]]:
    """``device`` seen through a fragile link; ``folder`` gets its ssh configuration."""
    user, _, port = device.host.replace("@127.0.0.1:", " ").partition(" ")
    link = FragileLink(int(port), limit)
    write_ssh_config(folder, link.port, device.state)
    try:
        yield (
            replace(device, host=f"{user}@127.0.0.1:{link.port}", ssh_config=folder / "ssh_config"),
            link,
        )
    finally:
        link.cut()
