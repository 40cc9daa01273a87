"""What the paramiko transport reads of a configuration, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from bitat_deploy.device import connect
from bitat_deploy.errors import ConnectionFailedError, InputError
from tests.ssh_devices import LocalSshd, SshDevice, make_key, write_ssh_config

UNSUPPORTED = {
    "ProxyCommand": "  ProxyCommand nc %h %p\n",
    "ProxyJump": "  ProxyJump other\n",
    "HostKeyAlias": "  HostKeyAlias board\n",
    "KnownHostsCommand": "  KnownHostsCommand /bin/echo\n",
    "IdentityAgent": "  IdentityAgent /run/agent\n",
    "CertificateFile": "  CertificateFile /certificate\n",
    "PubkeyAuthentication": "  PubkeyAuthentication no\n",
    "StrictHostKeyChecking": "Host *\n  StrictHostKeyChecking no\n",
    "Match": "Match all\n  User nobody\n",
    "Include": "Include /etc/hosts\n",
    "tokens": "  IdentityFile /%i/key\n",
    "variables": "  IdentityFile ${FOLDER}/key\n",
    "comment": "  User pi # the usual one\n",
    "quotes": '  IdentityFile "/my key"\n',
    "spaces": "  IdentityFile /my key\n",
    "time": "  ServerAliveInterval 1m\n",
}


@pytest.fixture
def device(local_sshd: LocalSshd, tmp_path: Path) -> SshDevice:
    """The private sshd with a configuration of this test's own."""
    write_ssh_config(tmp_path, int(local_sshd.host.split(":")[1]), local_sshd.state)
    text = (tmp_path / "ssh_config").read_text().replace("  StrictHostKeyChecking yes\n", "")
    (tmp_path / "ssh_config").write_text(text)
    return replace(local_sshd, ssh_config=tmp_path / "ssh_config", state=tmp_path)


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported(name: str, device: SshDevice) -> None:
    device.ssh_config.write_text(device.ssh_config.read_text() + UNSUPPORTED[name])
    with pytest.raises(InputError, match="the paramiko transport does not support") as caught:
        connect(device.host, device.ssh_config, transport="paramiko")
    assert "\n" not in str(caught.value) and str(device.ssh_config) in str(caught.value)


def test_home_of_an_unknown_user(device: SshDevice) -> None:
    device.ssh_config.write_text(device.ssh_config.read_text() + "  IdentityFile ~nobody-2/key\n")
    with pytest.raises(InputError, match=r"cannot be read: .* home directory"):
        connect(device.host, device.ssh_config, transport="paramiko")


@pytest.mark.parametrize("home", [None, "/nonexistent"])
def test_user_without_a_name(
    home: str | None, device: SshDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    with pytest.raises(InputError, match=r"no name on this machine; set USER"):
        connect(device.host, transport="paramiko")
    monkeypatch.setenv("USER", "somebody")
    expected, words = (
        (InputError, "no home folder for '~/.ssh/config'; set HOME")
        if home is None
        else (ConnectionFailedError, "key")
    )
    with pytest.raises(expected, match=words):
        connect(device.host, transport="paramiko")


@pytest.mark.parametrize("line", ["  LogLevel DEBUG\n", "Include nowhere/*\n", "# a comment\n"])
def test_without_consequence(line: str, device: SshDevice) -> None:
    device.ssh_config.write_text(device.ssh_config.read_text() + line)
    with connect(device.host, device.ssh_config, transport="paramiko") as connection:
        assert connection.run(["true"]).exit_code == 0


@pytest.mark.parametrize("line", ["@cert-authority * ssh-ed25519 AAAA", "a ssh-ed25519 A"])
def test_known_hosts_that_it_cannot_read(line: str, device: SshDevice) -> None:
    with (device.state / "known_hosts").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(InputError, match="known_hosts' has"):
        connect(device.host, device.ssh_config, transport="paramiko")


def test_wrong_and_locked_keys(device: SshDevice) -> None:
    text = device.ssh_config.read_text()
    for passphrase in ("", "secret"):
        key = device.state / f"key{passphrase}"
        make_key(key, passphrase=passphrase)
        lines = [f"  IdentityFile {key}" if "Identity" in x else x for x in text.splitlines()]
        device.ssh_config.write_text("\n".join(lines) + "\n  IdentitiesOnly yes\n")
        with pytest.raises(ConnectionFailedError, match="refused the login"):
            connect(device.host, device.ssh_config, transport="paramiko")


def test_taken_where_there_is_no_ssh(device: SshDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(device.state))
    with connect(device.host, device.ssh_config) as connection:
        assert type(connection).__name__ == "ParamikoConnection"
        assert connection.run(["echo", "hello"]).stdout == b"hello\n"
    with pytest.raises(InputError, match="there is no program 'ssh' here"):
        connect(device.host, device.ssh_config, transport="openssh")
