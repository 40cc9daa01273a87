"""A network namespace behind a slow link that loses packets.

The packets pass through two real network devices and a relay between them, so that TCP has to
retransmit what is lost. The relay replaces the kernel's netem, which many virtual machines lack.
"""

import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_LARGEST_PACKET = 1 << 16


@dataclass(frozen=True)
class SlowLink:
    """``enter`` goes before a command that is to run behind the link; ``address`` is this side."""

    enter: tuple[str, ...]
    address: str
    lost: list[int]


@contextmanager
def slow_link(*, delay: float, loss: float, bytes_per_second: float) -> Iterator[SlowLink]:
    """``delay`` in seconds each way, ``loss`` the share of packets. Skips where it cannot be."""
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists() or not shutil.which("ip"):
        pytest.skip("a network namespace needs root, /dev/net/tun and iproute2's program ip")
    name = f"bitat{os.getpid()}"
    here, there = f"{name}h", f"{name}t"
    ends = [_tun(here), _tun(there)]
    closing = threading.Event()
    lost: list[int] = []
    relay = threading.Thread(
        target=_relay, args=(ends, delay, loss, bytes_per_second, closing, lost)
    )
    relay.start()
    try:
        _ip("netns", "add", name)
        _ip("link", "set", there, "netns", name)
        _ip("address", "add", "198.18.77.1/30", "dev", here)
        _ip("link", "set", here, "up")
        _ip("-n", name, "address", "add", "198.18.77.2/30", "dev", there)
        _ip("-n", name, "link", "set", there, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        yield SlowLink(("ip", "netns", "exec", name), "198.18.77.1", lost)
    finally:
        closing.set()
        relay.join()
        for end in ends:
            os.close(end)
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _tun(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return end


def _ip(*arguments: str) -> None:
    finished = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        pytest.skip(f"no network namespaces here: {finished.stderr.strip()}")


def _relay(
    ends: list[int],
    delay: float,
    loss: float,
    bytes_per_second: float,
    closing: threading.Event,
    lost: list[int],
) -> None:
    draw = random.Random(0)
    under_way: list[tuple[float, int, int, bytes]] = []  # when due, order, where to, what
    free_at = dict.fromkeys(ends, 0.0)
    count = 0
    while not closing.is_set():
        now = time.monotonic()
        wait = max(0.0, under_way[0][0] - now) if under_way else 0.1
        readable, _, _ = select.select(ends, [], [], min(wait, 0.1))
        for source in readable:
            packet = os.read(source, _LARGEST_PACKET)
            count += 1
            if draw.random() < loss:
                lost.append(count)
                continue
            sink = ends[1 - ends.index(source)]
            started = max(time.monotonic(), free_at[sink])
            free_at[sink] = started + len(packet) / bytes_per_second
            heapq.heappush(under_way, (free_at[sink] + delay, count, sink, packet))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, sink, packet = heapq.heappop(under_way)
            with suppress(OSError):  # an end that is not up yet
                os.write(sink, packet)
