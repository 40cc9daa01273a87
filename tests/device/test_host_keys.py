"""``--accept-new-host-key`` over real SSH."""

import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bitat_deploy.cli.main import cli
from bitat_deploy.errors import ConnectionFailedError
from tests.ssh_devices import LocalSshd, SshDevice, write_ssh_config


@pytest.fixture
def device(local_sshd: LocalSshd, tmp_path: Path) -> SshDevice:
    """The private sshd, as one that has never been met; known_hosts does not exist."""
    write_ssh_config(tmp_path, int(local_sshd.host.split(":")[1]), local_sshd.state)
    (tmp_path / "known_hosts").rename(tmp_path / "true_known_hosts")
    text = (tmp_path / "ssh_config").read_text()
    text = text.replace(f"{tmp_path}/known_hosts", f"{tmp_path}/.ssh/known_hosts")
    (tmp_path / "ssh_config").write_text(text)
    return replace(local_sshd, ssh_config=tmp_path / "ssh_config", state=tmp_path)


def doctor(device: SshDevice, *options: str) -> Result:
    arguments = ["doctor", "--host", device.host, "-F", str(device.ssh_config), *options]
    return CliRunner().invoke(cli, arguments)


def test_new_key_is_added_and_told_once(device: SshDevice) -> None:
    known_hosts = device.state / ".ssh" / "known_hosts"
    assert isinstance(doctor(device).exception, ConnectionFailedError)
    assert not known_hosts.exists()  # never by default
    accepted = doctor(device, "--accept-new-host-key")
    assert accepted.exit_code == 0, accepted.output
    assert "SHA256:" in accepted.stderr and str(known_hosts) in accepted.stderr
    assert stat.S_IMODE(known_hosts.stat().st_mode) == 0o600
    name, kind, key = known_hosts.read_text().split()
    assert (device.state / "true_known_hosts").read_text().split() == [name, kind, key]
    again = doctor(device, "--accept-new-host-key")
    assert again.exit_code == 0 and "SHA256:" not in again.stderr
    assert doctor(device).exit_code == 0
    device.run("true")  # OpenSSH reads it too


def test_hashed_and_after_an_unfinished_line(device: SshDevice) -> None:
    known_hosts = device.state / ".ssh" / "known_hosts"
    known_hosts.parent.mkdir()
    known_hosts.write_text("@cert-authority * ssh-ed25519 AAAA")
    with device.ssh_config.open("a") as file:
        file.write("  HashKnownHosts yes\n")
    assert doctor(device, "--accept-new-host-key").exit_code == 0
    first, second = known_hosts.read_text().splitlines()
    assert first == "@cert-authority * ssh-ed25519 AAAA"
    assert second.startswith("|1|")
    device.run("true")


def test_changed_key_is_refused(device: SshDevice) -> None:
    assert_refused(device, other_key(device.state, "ed25519"), "changed")


def test_key_of_another_kind_is_refused(device: SshDevice) -> None:
    assert_refused(device, other_key(device.state, "ecdsa"), "changed")


def test_revoked_key_is_refused(device: SshDevice) -> None:
    true_line = (device.state / "true_known_hosts").read_text()
    assert_refused(device, f"@revoked {true_line}", "revoked")


def assert_refused(device: SshDevice, known: str, word: str) -> None:
    known_hosts = device.state / ".ssh" / "known_hosts"
    known_hosts.parent.mkdir()
    known_hosts.write_text(known)
    error = doctor(device, "--accept-new-host-key").exception
    assert isinstance(error, ConnectionFailedError) and word in str(error)
    assert known_hosts.read_text() == known


def other_key(folder: Path, kind: str) -> str:
    """A line of known_hosts that gives the device another key."""
    path = folder / "other_key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
    name = (folder / "true_known_hosts").read_text().split()[0]
    return f"{name} {' '.join(path.with_suffix('.pub').read_text().split()[:2])}\n"
