"""What goes to ssh, and what a user at a terminal is asked."""

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from bitat_deploy.device import connect
from bitat_deploy.errors import InputError
from tests.bench_command import COMMAND
from tests.ssh_devices import LocalSshd, make_key


@pytest.mark.parametrize(
    "host", ["", "pi@", "@host", "pi@host:", "pi@host:0", "pi@host:65536", "-oX", "a b", "a@b@c"]
)
def test_malformed_host(host: str) -> None:
    with pytest.raises(InputError):
        connect(host)


@pytest.mark.parametrize("transport", ["openssh", "paramiko"])
def test_missing_or_malformed_configuration(transport: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no ssh configuration file"):
        connect("pi@board", tmp_path / "nowhere", transport=transport)
    (tmp_path / "config").write_text("???\n")
    with pytest.raises(InputError, match=str(tmp_path / "config")):
        connect("pi@board", tmp_path / "config", transport=transport)


def test_passphrase_at_a_terminal(local_sshd: LocalSshd, tmp_path: Path) -> None:
    make_key(tmp_path / "key", passphrase="secret")
    # The public half of the same pair: locked, its private one is the device's user key.
    private = tmp_path / "locked"
    private.write_bytes((local_sshd.state / "user_key").read_bytes())
    private.chmod(0o600)
    lock = ["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(private)]
    subprocess.run(lock, check=True, stdout=subprocess.DEVNULL)
    config = tmp_path / "config"
    text = local_sshd.ssh_config.read_text()
    config.write_text(text.replace(f"{local_sshd.state}/user_key", str(private)))
    command = [COMMAND, "clean", "--host", local_sshd.host, "-F", str(config)]
    process, terminal = pty.fork()
    if process == 0:
        os.environ.pop("SSH_AUTH_SOCK", None)
        os.execv(command[0], command)
    output = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            output += os.read(terminal, 1000)
        except OSError:
            break
        if output.endswith(b"': "):
            os.write(terminal, b"secret\n")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, output
    assert b"passphrase for key" in output and b"Error" not in output
    # Nobody is there to be asked.
    refused = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )
    assert refused.returncode == 6 and "ssh-add" in refused.stderr


def test_long_temporary_folder(
    local_sshd: LocalSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with connect(local_sshd.host, local_sshd.ssh_config) as connection:
        assert connection.run(["true"]).exit_code == 0


def test_no_temporary_folder(local_sshd: LocalSshd) -> None:
    script = (
        "import pathlib, tempfile; from bitat_deploy.device import connect\n"
        f"tempfile.tempdir = '/no such folder'\n"
        f"connect('pi@board', pathlib.Path({str(local_sshd.ssh_config)!r}), transport='openssh')\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "set TMPDIR to a folder that can be written" in finished.stderr
