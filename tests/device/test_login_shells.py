"""Whatever a device's login shell is, and whatever it prints to every command."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bitat_deploy.device import connect
from bitat_deploy.device.clean import clean_device
from bitat_deploy.device.inspect import inspect_device
from bitat_deploy.device.push import push_file, pushed
from bitat_deploy.errors import RunFailedError
from tests.ssh_devices import LocalSshd

SHELLS = ("sh", "bash", "bash -r", "dash", "fish", "zsh", "tcsh", "busybox sh", "ksh", "mksh")
TRANSPORTS = ("openssh", "paramiko")
AWKWARD = "a b'c\"$(id)`id`\\\n;*!! \\\\ \\' %s %% é\t#~{a,b}^?\n"


@pytest.fixture
def log_in_with(local_sshd: LocalSshd) -> Iterator[Callable[[str], None]]:
    """Sessions end with these lines instead of ``/bin/sh``."""
    session = local_sshd.state / "session"
    usual = session.read_text()

    def change(lines: str) -> None:
        beside = session.with_name("new session")
        beside.write_text(usual[: usual.rindex("cd && ")] + f"cd\n{lines}\n")
        beside.chmod(0o755)
        beside.rename(session)

    yield change
    session.write_text(usual)


@pytest.mark.parametrize("shell", SHELLS)
def test_shell(
    shell: str, local_sshd: LocalSshd, log_in_with: Callable[[str], None], tmp_path: Path
) -> None:
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"there is no {shell} here")
    log_in_with(f'exec {shell} -c "$SSH_ORIGINAL_COMMAND"')
    (tmp_path / "file").write_text("content")
    with connect(local_sshd.host, local_sshd.ssh_config) as connection:
        assert connection.run(["printf", "%s", AWKWARD]).stdout.decode() == AWKWARD
        assert connection.run(["sh", "-c", "exit 7"]).exit_code == 7
        device = inspect_device(connection)
        assert device.cores > 0
        file = push_file(tmp_path / "file", "it's here")
        with pushed(connection, device.cache, "identity", [file]) as folder:
            assert folder.run(["cat", "it's here"]).stdout == b"content"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("greeting", ["echo Welcome", "printf Welcome", "seq 1000; echo oh >&2"])
def test_greeting(
    greeting: str, transport: str, local_sshd: LocalSshd, log_in_with: Callable[[str], None]
) -> None:
    log_in_with(f'{greeting}; exec sh -c "$SSH_ORIGINAL_COMMAND"')
    with connect(local_sshd.host, local_sshd.ssh_config, transport=transport) as connection:
        assert connection.run(["echo", "answer"]).stdout == b"answer\n"
        clean_device(connection, force=True)
        assert clean_device(connection) == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("session", "words"),
    [
        ("echo This account is currently not available.; exit 1", "currently not available"),
        ("echo no shell here >&2; exit 127", "no shell here"),
        ("exit 0", "it says nothing"),
        ("exec cat /dev/zero", "greets with more than"),
    ],
)
def test_no_shell(
    session: str,
    words: str,
    transport: str,
    local_sshd: LocalSshd,
    log_in_with: Callable[[str], None],
) -> None:
    log_in_with(session)
    with (
        connect(local_sshd.host, local_sshd.ssh_config, transport=transport) as connection,
        pytest.raises(RunFailedError, match=words),
    ):
        connection.run(["true"])
