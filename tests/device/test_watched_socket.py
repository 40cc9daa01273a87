"""When silence counts, and when not."""

import socket
import time
from collections.abc import Iterator

import pytest

from bitat_deploy.device.watched_socket import SilentPeerError, WatchedSocket


class Clock:
    def __init__(self) -> None:
        self.now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def pair(clock: Clock) -> Iterator[tuple[WatchedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watched = WatchedSocket(ours, 10)
        watched.settimeout(0.001)
        yield watched, theirs


def look(watched: WatchedSocket, clock: Clock, seconds: float) -> None:
    for _ in range(round(seconds / 0.5)):
        clock.now += 0.5
        with pytest.raises(TimeoutError):
            watched.recv(1)


def test_silence(pair: tuple[WatchedSocket, socket.socket], clock: Clock) -> None:
    watched, theirs = pair
    watched.expect_answers(3)
    look(watched, clock, 3)
    theirs.send(b"x")
    assert watched.recv(1) == b"x"
    look(watched, clock, 3)
    clock.now += 0.5
    with pytest.raises(SilentPeerError, match="no answer for 3 s"):
        watched.recv(1)
    assert watched.is_silent


def test_peer_that_takes_nothing(pair: tuple[WatchedSocket, socket.socket], clock: Clock) -> None:
    watched, _ = pair
    watched.expect_answers(3)
    with pytest.raises(SilentPeerError):
        while True:
            try:
                watched.send(bytes(1 << 16))
            except TimeoutError:
                clock.now += 0.5


def test_login_has_one_limit_however_much_comes(
    pair: tuple[WatchedSocket, socket.socket], clock: Clock
) -> None:
    watched, theirs = pair
    with pytest.raises(SilentPeerError, match="10 s"):
        for _ in range(30):
            theirs.send(b"x")
            watched.recv(1)
            clock.now += 0.5


def test_own_pause_does_not_count(pair: tuple[WatchedSocket, socket.socket], clock: Clock) -> None:
    watched, _ = pair
    watched.expect_answers(3)
    clock.now += 1000
    look(watched, clock, 1)
