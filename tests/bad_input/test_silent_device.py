"""The device acknowledges data at the level of TCP but no longer answers."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from bitat_deploy.device import connect
from bitat_deploy.errors import ConnectionFailedError, RunFailedError
from tests.bench_command import bench, finish, start_bench
from tests.fragile_link import fragile
from tests.ssh_devices import LocalSshd, SshDevice, processes_in


def impatient(device: SshDevice, connect_timeout: int = 10) -> SshDevice:
    """Give up after three seconds of silence."""
    text = device.ssh_config.read_text()
    text = text.replace("ConnectTimeout 10", f"ConnectTimeout {connect_timeout}")
    device.ssh_config.write_text(f"{text}  ServerAliveInterval 1\n")
    return device


def test_silent_in_the_login(local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    with fragile(local_sshd, tmp_path, 1_500, stalls=True) as (device, _):
        finished = bench(host_bundle, impatient(device, 1), tmp_path / "report.json")
    finished.assert_refused(ConnectionFailedError.exit_code, device.host, "does not answer")


def test_endless_banner(local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    with fragile(local_sshd, tmp_path) as (device, _), dribbling_server() as port:
        device = replace(impatient(device, 1), host=f"pi@127.0.0.1:{port}")
        finished = bench(host_bundle, device, tmp_path / "report.json")
    finished.assert_refused(ConnectionFailedError.exit_code, device.host, "does not answer")


def test_silent_in_the_push(local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    for file in local_sshd.home.glob(".cache/bitat-deploy/objects/*"):
        file.unlink()
    with fragile(local_sshd, tmp_path, 1_000_000, stalls=True) as (device, _):
        finished = bench(host_bundle, impatient(device), tmp_path / "report.json")
    finished.assert_refused(RunFailedError.exit_code, device.host, "lost", "no answer for 3 s")
    bench(host_bundle, local_sshd, tmp_path / "report.json").json()


def test_silent_in_the_run(local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with fragile(local_sshd, tmp_path) as (device, link):
        process = start_bench(host_bundle, impatient(device), report, "--min-seconds", "60")
        deadline = time.monotonic() + 60
        while not processes_in(local_sshd.home / ".cache"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        link.stall()
        finished = finish(process, report)
    finished.assert_refused(RunFailedError.exit_code, device.host, "lost", "no answer for 3 s")


def test_long_silence_of_the_run_alone(local_sshd: LocalSshd, tmp_path: Path) -> None:
    # sshd answers for it.
    with fragile(local_sshd, tmp_path) as (device, _):
        impatient(device)
        with connect(device.host, device.ssh_config) as connection:
            assert connection.run(["sleep", "5"]).exit_code == 0


@contextmanager
def dribbling_server() -> Iterator[int]:
    """Sends a byte now and then, and never the end of a line."""

    def serve() -> None:
        with suppress(OSError):
            peer, _ = listener.accept()
            while True:
                peer.sendall(b"S")
                time.sleep(0.2)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
