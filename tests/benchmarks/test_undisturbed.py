"""A measurement has its cores to itself, and releases them afterwards."""

import os
import time
from pathlib import Path

import pytest

from benchmarks.undisturbed import Undisturbed


@pytest.mark.skipif(os.geteuid() != 0, reason="real-time priority is root's")
def test_everything_is_as_before(tmp_path: Path) -> None:
    def state() -> tuple[int, set[int]]:
        return os.sched_getscheduler(0), os.sched_getaffinity(0)

    quiet, before = Undisturbed(tmp_path), state()
    for _ in range(2):  # which hung when a loop started on this process's core
        start = time.monotonic()
        with pytest.raises(ValueError, match="inside"), quiet(1):
            assert state() == (os.SCHED_FIFO, {min(before[1])})
            raise ValueError("inside")
        assert state() == before
        assert time.monotonic() - start < 30  # half of what a loop lives at most
