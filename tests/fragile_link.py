"""A network link to a device that a test can cut, or that fails after some bytes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from tests.ssh_devices import SshDevice, write_ssh_config


class FragileLink:
    """Passes TCP connections on to ``port`` of 127.0.0.1, until it is cut.

    After ``limit`` bytes, in both directions together, it cuts itself; or, if it ``stalls``, it
    goes on taking everything and passes nothing on.
    """

    def __init__(
        self,
        port: int,
        limit: int | None = None,
        *,
        stalls: bool = False,
        address: str = "127.0.0.1",
    ) -> None:
        self.passed = 0
        self._limit, self._stalls = limit, stalls
        self._destination = ("127.0.0.1", port)
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((address, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection and take no more."""
        for end in (self._listener, *self._sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def stall(self) -> None:
        """From now on, take everything and pass nothing on."""
        self._limit, self._stalls = 0, True

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._destination)
                self._sockets += [near, far]
                for arguments in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 14):
                allowed = self._count(data)
                sink.sendall(data[:allowed])
                if allowed < len(data) and not self._stalls:
                    self.cut()
                    return
            sink.shutdown(socket.SHUT_WR)

    def _count(self, data: bytes) -> int:
        with self._lock:
            left = len(data) if self._limit is None else max(0, self._limit - self.passed)
            allowed = min(left, len(data))
            self.passed += allowed
        return allowed


@contextmanager
def fragile(
    device: SshDevice,
    folder: Path,
    limit: int | None = None,
    *,
    stalls: bool = False,
    address: str = "127.0.0.1",
) -> Iterator[tuple[SshDevice, FragileLink]]:
    """``device`` seen through a fragile link; ``folder`` gets its ssh configuration."""
    user, _, port = device.host.replace("@127.0.0.1:", " ").partition(" ")
    link = FragileLink(int(port), limit, stalls=stalls, address=address)
    write_ssh_config(folder, link.port, device.state, address)
    try:
        yield (
            replace(device, host=f"{user}@{address}:{link.port}", ssh_config=folder / "ssh_config"),
            link,
        )
    finally:
        link.cut()
