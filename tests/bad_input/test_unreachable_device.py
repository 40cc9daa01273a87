"""The device is missing, does not answer, or cannot be trusted: exit code 6."""

import http.server
import socket
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bitat_deploy.errors import ConnectionFailedError
from tests.bench_command import bench
from tests.ssh_devices import LocalSshd, SshDevice, free_port, write_ssh_config

EXIT_CODE = ConnectionFailedError.exit_code


@pytest.fixture
def distrusted(local_sshd: LocalSshd, tmp_path: Path) -> SshDevice:
    """The private sshd with a configuration of this test's own."""
    write_ssh_config(tmp_path, int(local_sshd.host.split(":")[1]), local_sshd.state)
    return replace(local_sshd, ssh_config=tmp_path / "ssh_config")


def at_port(device: SshDevice, port: int) -> SshDevice:
    return replace(device, host=f"pi@127.0.0.1:{port}")


def test_nobody_listens(distrusted: SshDevice, host_bundle: Path, tmp_path: Path) -> None:
    device = at_port(distrusted, free_port())
    finished = bench(host_bundle, device, tmp_path / "report.json")
    finished.assert_refused(EXIT_CODE, device.host, "refuses connections")


def test_unknown_name(distrusted: SshDevice, host_bundle: Path, tmp_path: Path) -> None:
    device = replace(distrusted, host="pi@no-such-device.invalid")
    finished = bench(host_bundle, device, tmp_path / "report.json")
    finished.assert_refused(EXIT_CODE, "no-such-device.invalid")


def test_listener_that_never_answers(
    distrusted: SshDevice, host_bundle: Path, tmp_path: Path
) -> None:
    text = distrusted.ssh_config.read_text()
    distrusted.ssh_config.write_text(text.replace("ConnectTimeout 10", "ConnectTimeout 2"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        device = at_port(distrusted, silent.getsockname()[1])
        finished = bench(host_bundle, device, tmp_path / "report.json")
    finished.assert_refused(EXIT_CODE, device.host)


def test_server_that_is_no_ssh_server(
    distrusted: SshDevice, host_bundle: Path, tmp_path: Path
) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        device = at_port(distrusted, server.server_port)
        finished = bench(host_bundle, device, tmp_path / "report.json")
        server.shutdown()
    finished.assert_refused(EXIT_CODE, device.host)


def test_wrong_key(distrusted: SshDevice, host_bundle: Path, tmp_path: Path) -> None:
    key = tmp_path / "other_key"
    make_key(key)
    text = distrusted.ssh_config.read_text()
    distrusted.ssh_config.write_text(text.replace(str(distrusted.state / "user_key"), str(key)))
    finished = bench(host_bundle, distrusted, tmp_path / "report.json")
    finished.assert_refused(EXIT_CODE, distrusted.host, "key")


def test_unknown_host_key(distrusted: SshDevice, host_bundle: Path, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("")
    finished = bench(host_bundle, distrusted, tmp_path / "report.json")
    finished.assert_refused(EXIT_CODE, distrusted.host, "host key", "not known")
    assert known_hosts.read_text() == ""  # never accepted silently


def test_changed_host_key(distrusted: SshDevice, host_bundle: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "other_host_key")
    other = (tmp_path / "other_host_key.pub").read_text()
    known_hosts = tmp_path / "known_hosts"
    name = known_hosts.read_text().split()[0]
    known_hosts.write_text(f"{name} {other}")
    finished = bench(host_bundle, distrusted, tmp_path / "report.json")
    finished.assert_refused(EXIT_CODE, "host key", "changed")


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
