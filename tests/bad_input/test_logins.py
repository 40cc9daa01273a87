"""Logins that fail or go through another machine: what messages say, and what they never say."""

import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bitat_deploy.cli.main import cli
from bitat_deploy.device import connect
from bitat_deploy.errors import ConnectionFailedError, RunFailedError
from tests.ssh_devices import LocalSshd, SshDevice, local_sshd, write_ssh_config

SECRET = "correct-horse-battery"

# Standard input and output to %h port %p, as nc does it.
PASS_ON = (
    f"{sys.executable} -c 'import os, socket, sys, threading;"
    "s = socket.create_connection(sys.argv[1:]);"
    "f = lambda: [s.sendall(b) for b in iter(lambda: os.read(0, 65536), bytes())];"
    "threading.Thread(target=f, daemon=True).start();"
    "[os.write(1, b) for b in iter(lambda: s.recv(65536), bytes())]' %h %p"
)


@pytest.fixture
def device(sshd: LocalSshd, tmp_path: Path) -> SshDevice:
    """The private sshd with a configuration of this test's own."""
    write_ssh_config(tmp_path, int(sshd.host.split(":")[1]), sshd.state)
    return replace(sshd, ssh_config=tmp_path / "ssh_config")


@pytest.fixture
def password_only() -> Iterator[LocalSshd]:
    options = "PubkeyAuthentication no\nPasswordAuthentication yes\n"
    with (
        tempfile.TemporaryDirectory(prefix="sshd-") as state,
        local_sshd(Path(state), options) as device,
    ):
        yield device


def configure(device: SshDevice, *lines: str, replacing: tuple[str, str] = ("", "")) -> None:
    text = device.ssh_config.read_text().replace(*replacing)
    device.ssh_config.write_text(text + "".join(f"  {line}\n" for line in lines))


def refusal(device: SshDevice) -> str:
    """What ``doctor`` says of a device that cannot be reached."""
    arguments = ["doctor", "--host", device.host, "-F", str(device.ssh_config)]
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, ConnectionFailedError), result.exc_info
    return result.output + str(result.exception)


def test_server_that_takes_passwords_only(password_only: LocalSshd) -> None:
    message = refusal(password_only)
    assert "takes no keys, only password" in message
    assert "at a terminal only" in message and "ssh-copy-id -p" in message


@pytest.mark.parametrize("how", ["ProxyCommand", "ProxyJump"])
def test_through_a_proxy(how: str, device: SshDevice) -> None:
    if how == "ProxyJump":
        # The private sshd leads to itself.
        text = device.ssh_config.read_text().replace("Host 127.0.0.1", "Host jump")
        jump = f"{text}  HostName 127.0.0.1\n  HostKeyAlias {device.host.split('@')[1]}\n"
        known = (device.ssh_config.parent / "known_hosts").read_text()
        alias = f"{device.host.split('@')[1]} {known.split(' ', 1)[1]}"
        (device.ssh_config.parent / "known_hosts").write_text(known + alias)
        configure(device, "ProxyJump jump")
        device.ssh_config.write_text(device.ssh_config.read_text() + jump)
    else:
        configure(device, f"ProxyCommand {PASS_ON}")
    with connect(device.host, device.ssh_config) as connection:
        assert connection.run(["echo", "hello"]).stdout == b"hello\n"
        assert isinstance(device, LocalSshd)
        with pytest.raises(RunFailedError, match="lost"):
            connection.run(
                ["sh", "-c", "echo ready >&2; cat"],
                on_error=lambda line: device.drop_connections(),
            )


def test_proxy_that_fails(device: SshDevice) -> None:
    configure(device, f"ProxyCommand sh -c \"echo 'no route to the jump host' >&2; : {SECRET}\"")
    message = refusal(device)
    assert "no route to the jump host" in message
    assert SECRET not in message


def test_no_secret_is_logged(
    device: SshDevice, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = tmp_path / "protected_key"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", SECRET, "-f", str(key)]
    subprocess.run(make, check=True)
    user_key = device.state / "user_key"
    arguments = ["doctor", "--host", device.host, "-F", str(device.ssh_config)]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    everything = caplog.text
    configure(device, replacing=(str(user_key), str(key)))
    everything += refusal(device) + caplog.text
    assert "passphrase" in everything and "ssh-add" in everything
    for path in (user_key, key):
        for line in path.read_text().splitlines()[1:-1]:
            assert line not in everything
    assert SECRET not in everything
