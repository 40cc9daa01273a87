"""A socket that fails where the other side is silent for too long."""

import errno
import socket
import time

# A pause longer than this between two looks at the socket is ours: Ctrl-Z, or a laptop's lid.
_LONGEST_LOOK = 1.0


class SilentPeerError(ConnectionAbortedError):
    """Nothing came for too long, though the connection may still stand."""


class WatchedSocket:
    """What paramiko uses of a socket. It looks at it many times a second, and so do we.

    TCP alone notices only a machine that is gone, not one that acknowledges and never answers.
    At first everything has to be over after ``seconds``, however much comes; see
    :meth:`expect_answers` for what holds after the login.
    """

    def __init__(self, wrapped: socket.socket, seconds: float) -> None:
        self._wrapped = wrapped
        self._limit = seconds
        self._any_data_counts = False
        self._waited = 0.0
        self._last_look = time.monotonic()

    def expect_answers(self, seconds: float) -> None:
        """From now on, fail after ``seconds`` in which nothing came."""
        self._limit, self._any_data_counts, self._waited = seconds, True, 0.0

    @property
    def is_silent(self) -> bool:
        """Whether the limit was exceeded."""
        return self._waited > self._limit

    def recv(self, size: int) -> bytes:
        """Raises TimeoutError when paramiko's own short time is over, SilentPeerError."""
        try:
            data = self._wrapped.recv(size)
        except TimeoutError:
            self._look()
            raise
        if self._any_data_counts:
            self._waited = 0.0
        self._look()
        return data

    def send(self, data: bytes) -> int:
        """Raises as ``recv`` does."""
        try:
            return self._wrapped.send(data)
        except TimeoutError:
            self._look()
            raise

    def settimeout(self, seconds: float | None) -> None:
        """As a socket's."""
        self._wrapped.settimeout(seconds)

    def getpeername(self) -> object:
        """As a socket's."""
        return self._wrapped.getpeername()

    def close(self) -> None:
        """As a socket's."""
        self._wrapped.close()

    @property
    def _closed(self) -> bool:  # paramiko asks
        return self._wrapped.fileno() < 0

    def _look(self) -> None:
        now = time.monotonic()
        self._waited += min(now - self._last_look, _LONGEST_LOOK)
        self._last_look = now
        if self.is_silent:
            raise SilentPeerError(errno.ECONNABORTED, f"no answer for {self._limit:g} s")
