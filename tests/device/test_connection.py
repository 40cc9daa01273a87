"""Every kind of connection keeps the same promises."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitat_deploy.device import Connection, Limit, connect
from bitat_deploy.errors import RunFailedError
from tests.fragile_link import fragile
from tests.ssh_devices import LocalSshd, SshDevice, processes_in

TRANSPORTS = ("openssh", "paramiko")


@pytest.fixture(params=["local", *TRANSPORTS])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    if request.param == "local":
        opened = connect("local")
    else:
        device = request.getfixturevalue("local_sshd")
        opened = connect(device.host, device.ssh_config, transport=request.param)
    with opened:
        yield opened


def gone(folder: Path) -> bool:
    """Whether no process works in ``folder``, or will not for long."""
    deadline = time.monotonic() + 20
    while processes_in(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_arguments_arrive_as_they_are(connection: Connection) -> None:
    awkward = "a b'c\"$(id)`id`\\\n;*!! \\\\ \\' %s %% é\t#~{a,b}\n"
    result = connection.run(["printf", "%s", awkward])
    assert (result.exit_code, result.stdout.decode()) == (0, awkward)


def test_exit_code_and_errors(connection: Connection) -> None:
    lines: list[str] = []
    script = "echo one >&2; echo two >&2; printf three >&2; exit 3"
    result = connection.run(["sh", "-c", script], on_error=lines.append)
    assert (result.exit_code, result.last_error) == (3, "three")
    assert lines == ["one", "two", "three"]


def test_errors_come_at_once(connection: Connection) -> None:
    came: list[float] = []
    connection.run(
        ["sh", "-c", "echo now >&2; sleep 1"], on_error=lambda line: came.append(time.monotonic())
    )
    assert time.monotonic() - came[0] > 0.5


def test_exit_code_of_lost_connections(connection: Connection) -> None:
    assert connection.run(["sh", "-c", "exit 255"]).exit_code >= 254


def test_program_that_is_not_there(connection: Connection) -> None:
    if connection.name == "local":
        with pytest.raises(RunFailedError, match="'/no/program' cannot be started"):
            connection.run(["/no/program"])
    else:
        assert connection.run(["/no/program"]).exit_code == 127


def test_input_from_a_file(connection: Connection, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    (tmp_path / "file").write_bytes(content)
    assert connection.run(["cat"], stdin=tmp_path / "file").stdout == content


def test_empty_input(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert connection.run(["cat"], stdin=tmp_path / "file").stdout == b""


def test_command_that_does_not_read_its_input(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(8_000_000))
    assert connection.run(["sh", "-c", "exit 4"], stdin=tmp_path / "file").exit_code == 4


def test_signal(connection: Connection) -> None:
    assert connection.run(["sh", "-c", 'sh -c "kill -ILL \\$\\$"; exit $?']).exit_code == 128 + 4


def test_input_stays_open(connection: Connection) -> None:
    started = time.monotonic()
    connection.run(["timeout", "0.5", "cat"])
    assert time.monotonic() - started > 0.4


def test_large_output(connection: Connection) -> None:
    size = 20_000_000
    result = connection.run(["head", "-c", str(size), "/dev/zero"], limit=Limit(bytes=size))
    assert result.stdout == bytes(size)


def test_output_beyond_its_limit(connection: Connection, tmp_path: Path) -> None:
    command = ["sh", "-c", f"cd {tmp_path} && cat /dev/zero"]
    with pytest.raises(RunFailedError, match="more than the 1,000 bytes that were expected"):
        connection.run(command, limit=Limit(bytes=1000))
    with pytest.raises(RunFailedError, match="1,000 bytes"):
        connection.run(["head", "-c", "1001", "/dev/zero"], limit=Limit(bytes=1000))
    assert connection.run(["head", "-c", "1000", "/dev/zero"], limit=Limit(bytes=1000)).stdout
    assert gone(tmp_path)


def test_errors_beyond_their_limit(connection: Connection, tmp_path: Path) -> None:
    with connection:
        with pytest.raises(RunFailedError, match="reports errors in more than"):
            connection.run(["sh", "-c", f"cd {tmp_path} && cat /dev/zero >&2"])
        assert connection.run(["true"]).exit_code == 0
    assert gone(tmp_path)  # until then it may be stuck there, as nobody reads what it writes


@pytest.mark.parametrize("script", ["cat", "exec > /dev/null 2>&1; cat"])
def test_time_beyond_its_limit(connection: Connection, script: str, tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=r"has not finished within 0.5 s"):
        connection.run(["sh", "-c", f"cd {tmp_path}; {script}"], limit=Limit(seconds=0.5))
    assert gone(tmp_path)
    assert connection.run(["true"]).exit_code == 0


def test_interrupted(connection: Connection, tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        threading.Timer(0.1, connection.interrupt).start()

    command = ["sh", "-c", f"cd {tmp_path}; echo ready >&2; cat"]
    try:
        assert connection.run(command, on_error=interrupt).exit_code > 0
    except RunFailedError:
        assert connection.name != "local"
    assert gone(tmp_path)
    assert connection.run(["true"]).exit_code == 0  # the connection stands


def test_error_of_the_listener(connection: Connection, tmp_path: Path) -> None:
    def fail(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, RunFailedError)):
        connection.run(["sh", "-c", f"cd {tmp_path}; echo ready >&2; cat"], on_error=fail)
    assert gone(tmp_path)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_lost_connection(local_sshd: LocalSshd, transport: str) -> None:
    with connect(local_sshd.host, local_sshd.ssh_config, transport=transport) as device:
        with pytest.raises(RunFailedError, match="lost"):
            device.run(
                ["sh", "-c", "echo ready >&2; cat"],
                on_error=lambda line: local_sshd.drop_connections(),
            )
        with pytest.raises(RunFailedError, match="lost"):
            device.run(["true"])


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_cut_while_sending(local_sshd: LocalSshd, transport: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(8_000_000))
    with (
        fragile(local_sshd, tmp_path, 2_000_000) as (device, _),
        connect(device.host, device.ssh_config, transport=transport) as connection,
        pytest.raises(RunFailedError, match="lost"),
    ):
        connection.run(["sh", "-c", "cat > /dev/null"], stdin=tmp_path / "file")


@pytest.mark.parametrize("sending", [False, True])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_silence(local_sshd: LocalSshd, transport: str, sending: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(80_000_000))
    with fragile(local_sshd, tmp_path) as (device, link):
        be_impatient(device)
        with (
            connect(device.host, device.ssh_config, transport=transport) as connection,
            pytest.raises(RunFailedError, match=r"lost \(no answer for 2 s\)"),
        ):
            connection.run(
                ["sh", "-c", "echo ready >&2; cat > /dev/null; sleep 60"],
                stdin=tmp_path / "file" if sending else None,
                on_error=lambda line: link.stall(),
            )


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_kept_alive(local_sshd: LocalSshd, transport: str, tmp_path: Path) -> None:
    # sshd answers for a command that is silent itself.
    with fragile(local_sshd, tmp_path) as (device, _):
        be_impatient(device)
        with connect(device.host, device.ssh_config, transport=transport) as connection:
            assert connection.run(["sleep", "5"]).exit_code == 0


def be_impatient(device: SshDevice) -> None:
    lines = "  ServerAliveInterval 1\n  ServerAliveCountMax 2\n"
    device.ssh_config.write_text(device.ssh_config.read_text() + lines)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_nothing_is_left_of_a_killed_program(
    local_sshd: LocalSshd, transport: str, tmp_path: Path
) -> None:
    script = (
        "import sys, pathlib; from bitat_deploy.device import connect\n"
        f"connection = connect({local_sshd.host!r}, pathlib.Path({str(local_sshd.ssh_config)!r}),\n"
        f"    transport={transport!r})\n"
        f"connection.run(['sh', '-c', 'cd {tmp_path} && cat'])\n"
    )
    # A short folder, and one of this test's own.
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", script], env={**os.environ, "TMPDIR": folder}
        )
        deadline = time.monotonic() + 60
        while not processes_in(tmp_path):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        assert bool(list(Path(folder).glob("bitat-*"))) == (transport == "openssh")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert gone(tmp_path)
        while list(Path(folder).glob("bitat-*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
