"""A hostile device behind real sshd: its forced command answers whatever it likes.

The table's answers to what doctor and clean ask are given over one login, those to all other
commands in tests/device/test_hostile_answers.py without any; the commands themselves get ten.
"""

import base64
import itertools
import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bitat_deploy.device import (
    Connection,
    connect,
    diagnose,
    examine,
    inspect_device,
    read_health,
)
from bitat_deploy.device.clean import clean_device
from bitat_deploy.errors import BitatDeployError, RunFailedError
from bitat_deploy.target import load_target
from tests.bench_command import COMMAND, bench
from tests.hostile_answers import COMMANDS, Recorded, drawn_lie, lies
from tests.hostile_device import NASTY, is_shown_safely
from tests.ssh_devices import LocalSshd, local_sshd

# Answers by the lie: where its "command" stands in the command, else as the session itself does.
_SESSION = f"""#!{sys.executable} -ES
import base64, json, os, re, signal, sys
command = os.environ["SSH_ORIGINAL_COMMAND"]
lie = json.load(open("LIE"))
if lie["command"] not in command:
    os.execv("/bin/sh", ["sh", "SESSION"])
mark = re.search("echo ([0-9a-f]{{16}})", command)[1].encode() if lie["mark"] else b""
out, piece = sys.stdout.buffer, base64.b64decode(lie["output"])
out.write(mark + b"\\n" * bool(mark))
sys.stderr.buffer.write(base64.b64decode(lie["errors"]))
for _ in range(lie["times"]):
    out.write(piece)
out.flush()
if lie["signal"]:
    os.kill(os.getpid(), signal.SIGKILL)
os._exit(lie["exit_code"])
"""

ENDLESS = 1 << 40
HOST = load_target("host")


@pytest.fixture(scope="module")
def hostile() -> Iterator[LocalSshd]:
    with (
        tempfile.TemporaryDirectory(prefix="sshd-") as state,
        local_sshd(Path(state)) as device,
    ):
        session = device.state / "session"
        sound = session.rename(device.state / "sound")
        text = _SESSION.replace("LIE", str(device.state / "lie"))
        session.write_text(text.replace("SESSION", str(sound)))
        session.chmod(0o755)
        yield device


def lie(
    device: LocalSshd,
    command: str,
    output: bytes,
    *,
    times: int = 1,
    mark: bool = True,
    errors: bytes = b"",
    signal: bool = False,
    exit_code: int = 0,
) -> None:
    document = {
        "command": command,
        "output": base64.b64encode(output).decode(),
        "errors": base64.b64encode(errors).decode(),
        "times": times,
        "mark": mark,
        "signal": signal,
        "exit_code": exit_code,
    }
    (device.state / "lie").write_text(json.dumps(document))


def assert_one_sentence(device: LocalSshd, command: list[str]) -> None:
    """The command ends in one sentence, quickly and without much memory."""
    host = ["--host", device.host, "-F", str(device.ssh_config)]
    finished = subprocess.run(
        [COMMAND, *command, *host],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=100,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30)),
    )
    assert 3 <= finished.returncode <= 10, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stderr.count("Error: ") == 1
    assert is_shown_safely(finished.stdout) and is_shown_safely(finished.stderr), finished.stderr


def test_answers_to_doctor(hostile: LocalSshd) -> None:
    for command, output, options in (
        ("", NASTY.encode(), {"mark": False, "exit_code": 1}),
        ("", b"z" * 65536, {"mark": False, "times": ENDLESS}),
        ("", b"z" * 65536, {"times": ENDLESS}),
        ("say machine", b"machine=\xff\n", {"errors": NASTY.encode() * 9, "exit_code": 3}),
        ("get_throttled", b"time=\xff\n", {"signal": True}),
        ("say machine", b"", {"exit_code": 255}),
    ):
        lie(hostile, command, output, **options)  # type: ignore[arg-type]
        assert_one_sentence(hostile, ["doctor"])


def test_answers_to_bench(hostile: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    for command, output, options, words in (
        ("--stop-at-end-of-input", b"[" * 200_000, {}, "printed no result"),
        ("--stop-at-end-of-input", b"[1,", {"times": ENDLESS}, "more than"),
        ("/logits", b"\0" * 65536, {"times": ENDLESS}, "more than"),
    ):
        lie(hostile, command, output, **options)  # type: ignore[arg-type]
        bench(host_bundle, hostile, report).assert_refused(RunFailedError.exit_code, words)
    lie(hostile, "nothing has this", b"")
    assert bench(host_bundle, hostile, report).json()["accuracy"]["logits_equal"]


# Of the answers in the table; "other" is what no command here is.
_ASKED: dict[str, Callable[[Connection], object]] = {
    "inspect": lambda device: diagnose(inspect_device(device), read_health(device), [HOST]),
    "health": lambda device: examine(read_health(device)),
    "clean": clean_device,
}


def test_table_and_drawn_answers(hostile: LocalSshd, tmp_path: Path) -> None:
    here = Recorded()
    here.folder = str(tmp_path)
    for ask in _ASKED.values():
        ask(here)
    source = random.Random(0)
    table = source.sample([one for one in lies() if one.command in _ASKED], 60)
    drawn = [drawn_lie(source, {key: here.results[key] for key in _ASKED}) for _ in range(10)]
    with connect(hostile.host, hostile.ssh_config) as connection:
        for one in (*table, *drawn):
            pieces = list(itertools.islice(one.change(here.results[one.command].stdout), 20))
            endless = len(pieces) == 20
            output = pieces[0] if endless else b"".join(pieces)
            options = {"errors": one.errors, "exit_code": one.exit_code}
            command = COMMANDS[one.command]
            lie(hostile, command, output, times=ENDLESS if endless else 1, **options)  # type: ignore[arg-type]
            try:
                _ASKED[one.command](connection)
            except BitatDeployError as error:
                assert is_shown_safely(str(error)) and "\n" not in str(error), str(error)
                assert len(str(error)) < 1500
            except Exception as error:
                raise AssertionError(one.name) from error


def test_answers_to_clean(hostile: LocalSshd) -> None:
    lie(hostile, "rmdir", b"9" * 65536, times=2)
    assert_one_sentence(hostile, ["clean"])
