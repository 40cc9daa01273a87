"""Both kinds of connection keep the same promises."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitat_deploy.device import Connection, connect
from bitat_deploy.errors import RunFailedError
from tests.ssh_devices import LocalSshd


@pytest.fixture(params=["local", "ssh"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    if request.param == "local":
        opened = connect("local")
    else:
        device = request.getfixturevalue("local_sshd")
        opened = connect(device.host, device.ssh_config)
    with opened:
        yield opened


def test_arguments_arrive_as_they_are(connection: Connection) -> None:
    awkward = "a b'c\"$(id)`id`\\\n;*"
    result = connection.run(["printf", "%s", awkward])
    assert (result.exit_code, result.stdout.decode()) == (0, awkward)


def test_exit_code_and_errors(connection: Connection) -> None:
    lines: list[str] = []
    result = connection.run(
        ["sh", "-c", "echo one >&2; echo two >&2; exit 3"], on_error=lines.append
    )
    assert (result.exit_code, result.last_error, lines) == (3, "two", ["one", "two"])


def test_input_from_a_file(connection: Connection, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    (tmp_path / "file").write_bytes(content)
    assert connection.run(["cat"], stdin=tmp_path / "file").stdout == content


def test_command_that_does_not_read_its_input(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(8_000_000))
    assert connection.run(["sh", "-c", "exit 4"], stdin=tmp_path / "file").exit_code == 4


def test_signal(connection: Connection) -> None:
    assert connection.run(["sh", "-c", 'sh -c "kill -ILL \\$\\$"; exit $?']).exit_code == 128 + 4


def test_input_stays_open(connection: Connection) -> None:
    started = time.monotonic()
    connection.run(["timeout", "0.5", "cat"])
    assert time.monotonic() - started > 0.4


def test_lost_connection(local_sshd: LocalSshd) -> None:
    with connect(local_sshd.host, local_sshd.ssh_config) as device:
        with pytest.raises(RunFailedError, match="lost"):
            device.run(
                ["sh", "-c", "echo ready >&2; cat"],
                on_error=lambda line: local_sshd.drop_connections(),
            )
        with pytest.raises(RunFailedError, match="lost"):
            device.run(["true"])
