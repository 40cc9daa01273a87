"""Worker processes end with the block that has them, and with the process that started them."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys, time
from bitat_deploy.tuning.workers import worker_processes

if __name__ == "__main__":
    with worker_processes(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 60)
        if sys.argv[1] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
    print("left", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["left", "killed"])
def test_a_busy_worker_ends(end: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), end]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        worker = Path("/proc") / process.stdout.readline().strip()
        assert process.stdout.readline() == ("left\n" if end == "left" else "")
        deadline = time.monotonic() + 20
        while worker.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.communicate()
    assert process.returncode == (0 if end == "left" else -9)
