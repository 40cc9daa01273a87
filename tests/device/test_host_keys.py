"""``--accept-new-host-key`` over real SSH."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bitat_deploy.cli.main import cli
from bitat_deploy.errors import BitatDeployError, ConnectionFailedError
from tests.ssh_devices import LocalSshd, SshDevice, make_key, write_ssh_config


@pytest.fixture(params=["openssh", "paramiko"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def device(local_sshd: LocalSshd, tmp_path: Path) -> SshDevice:
    """The private sshd, as one that has never been met; known_hosts does not exist."""
    write_ssh_config(tmp_path, int(local_sshd.host.split(":")[1]), local_sshd.state)
    (tmp_path / "known_hosts").rename(tmp_path / "true_known_hosts")
    return replace(local_sshd, ssh_config=tmp_path / "ssh_config", state=tmp_path)


def doctor(device: SshDevice, transport: str, *options: str) -> Result:
    arguments = ["doctor", "--host", device.host, "-F", str(device.ssh_config)]
    return CliRunner().invoke(cli, [*arguments, "--transport", transport, *options])


def test_new_key_is_added_and_told_once(device: SshDevice, transport: str) -> None:
    known_hosts = device.state / "known_hosts"
    refused = doctor(device, transport)
    assert isinstance(refused.exception, ConnectionFailedError)
    assert "not known" in str(refused.exception)
    assert not known_hosts.exists()  # never by default
    accepted = doctor(device, transport, "--accept-new-host-key")
    assert accepted.exit_code == 0, accepted.output
    assert "SHA256:" in accepted.stderr and str(known_hosts) in accepted.stderr
    if transport == "paramiko":
        assert stat.S_IMODE(known_hosts.stat().st_mode) == 0o600
    name, kind, key = known_hosts.read_text().split()[:3]
    assert (device.state / "true_known_hosts").read_text().split()[:3] == [name, kind, key]
    again = doctor(device, transport, "--accept-new-host-key")
    assert again.exit_code == 0 and "SHA256:" not in again.stderr
    assert doctor(device, transport).exit_code == 0
    device.run("true")  # ssh reads it too


def test_hashed(device: SshDevice) -> None:
    with device.ssh_config.open("a") as file:
        file.write("  HashKnownHosts yes\n")
    accepted = doctor(device, "openssh", "--accept-new-host-key")
    assert "SHA256:" in accepted.stderr
    assert (device.state / "known_hosts").read_text().startswith("|1|")
    device.run("true")


def test_folder_that_is_not_there(device: SshDevice, transport: str) -> None:
    text = device.ssh_config.read_text()
    device.ssh_config.write_text(text.replace("/known_hosts", "/none/known_hosts"))
    accepted = doctor(device, transport, "--accept-new-host-key")
    assert accepted.exit_code == 0, accepted.output
    assert "/none/known_hosts" in accepted.stderr


def test_after_an_unfinished_line(device: SshDevice) -> None:
    (device.state / "known_hosts").write_text("# no newline")
    assert doctor(device, "paramiko", "--accept-new-host-key").exit_code == 0
    first, second = (device.state / "known_hosts").read_text().splitlines()
    assert first == "# no newline" and second.startswith("[127.0.0.1]")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_changed_key_is_refused(device: SshDevice, transport: str, kind: str) -> None:
    make_key(device.state / "other_key", kind=kind)
    name = (device.state / "true_known_hosts").read_text().split()[0]
    assert_refused(
        device, transport, f"{name} {(device.state / 'other_key.pub').read_text()}", "changed"
    )


def test_revoked_key_is_refused(device: SshDevice, transport: str) -> None:
    true_line = (device.state / "true_known_hosts").read_text()
    assert_refused(device, transport, f"@revoked {true_line}", "revoked")


def assert_refused(device: SshDevice, transport: str, known: str, word: str) -> None:
    known_hosts = device.state / "known_hosts"
    known_hosts.write_text(known)
    error = doctor(device, transport, "--accept-new-host-key").exception
    assert isinstance(error, BitatDeployError) and word in str(error)
    assert known_hosts.read_text() == known
