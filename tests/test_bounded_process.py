"""Work in a process with limits: its result, its errors, and every other way it can end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bitat_deploy.bounded_process import Limits, run_bounded
from bitat_deploy.errors import InputError, UnsupportedOperatorError

LIMITS = Limits(memory_bytes=256 << 20, seconds=60)


def work(kind: str) -> object:
    """What the child does; it is found by name."""
    if kind == "refuse":
        raise UnsupportedOperatorError("operator 'X' is not supported")
    if kind == "memory":
        return len(bytearray(1 << 30))
    if kind == "caught":
        raise RuntimeError("std::bad_alloc")
    if kind == "sleep":
        time.sleep(1000)
    if kind == "crash":
        os.write(2, b"Stack dump:\nLLVM ERROR: \x1b[2Jcannot\n")
        os.abort()
    if kind == "defect":
        return {}["missing"]
    os.write(1, b"what a library prints")
    return {"kind": kind, "folder": str(Path.cwd())}


def run(kind: str, limits: Limits = LIMITS) -> object:
    return run_bounded("compiling 'a.onnx'", limits, work, kind)


def test_the_result_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert run("sound") == {"kind": "sound", "folder": str(tmp_path)}


def test_our_errors_come_back() -> None:
    with pytest.raises(UnsupportedOperatorError, match="operator 'X'"):
        run("refuse")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("memory", r"'a.onnx' takes more than 0.25 GiB of memory.*--import-memory"),
        ("caught", r"'a.onnx' takes more than 0.25 GiB of memory"),
        ("crash", r"'a.onnx' crashed \(Aborted: LLVM ERROR: \[2Jcannot\); make"),
    ],
)
def test_an_end_is_a_sentence(kind: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        run(kind)


def test_time() -> None:
    with pytest.raises(InputError, match=r"takes more than 0.5 seconds.*--import-time"):
        run("sleep", Limits(seconds=0.5))


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(Exception, match=r"in work\n[^$]*\nKeyError: 'missing'"):
        run("defect")


def test_the_process_ends_with_its_parent() -> None:
    code = "from tests.test_bounded_process import run; run('sleep')"
    root = Path(__file__).parents[1]
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    deadline = time.monotonic() + 60
    while not (child := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while Path(f"/proc/{child[0]}/cwd").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child[0]}/cwd").exists()
