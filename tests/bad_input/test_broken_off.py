"""The push or the run is interrupted: exit code 8, and nothing half-written is used."""

import hashlib
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bitat_deploy.errors import RunFailedError
from tests.bench_command import bench, finish, start_bench
from tests.fragile_link import fragile
from tests.ssh_devices import LocalSshd, VirtualPi, processes_in

EXIT_CODE = RunFailedError.exit_code


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.virtual_pi
def test_disk_full(virtual_pi: VirtualPi, rpi4_bundle: Path, tmp_path: Path) -> None:
    # The file system that bench asks for its free space is not the one that it then writes to,
    # as if another program had filled the disk in the meantime.
    cache = "~/.cache/bitat-deploy"
    virtual_pi.run(f"rm -rf {cache}; mkdir -p ~/.cache && ln -s /mnt/small {cache}")
    try:
        finished = bench(rpi4_bundle, virtual_pi, tmp_path / "report.json")
        left = virtual_pi.run("cd /mnt/small/objects && ls -A")
        checksums = virtual_pi.run("cd /mnt/small/objects && sha256sum * | cut -d ' ' -f 1")
    finally:
        virtual_pi.run(f"rm -rf {cache} /mnt/small/*")
    finished.assert_refused(EXIT_CODE, virtual_pi.host, "full")
    assert left == checksums  # objects are named by their checksums: what is there is whole


def test_connection_lost_in_the_push(
    local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path
) -> None:
    objects = local_sshd.home / ".cache" / "bitat-deploy" / "objects"
    for file in objects.glob("*"):
        file.unlink()
    with fragile(local_sshd, tmp_path, limit=1_000_000) as (device, _):
        finished = bench(host_bundle, device, tmp_path / "report.json")
    finished.assert_refused(EXIT_CODE, device.host, "lost")
    wait_until(lambda: not list(objects.glob(".incoming-*")))
    for file in objects.iterdir():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
    bench(host_bundle, local_sshd, tmp_path / "report.json").json()  # the next one goes well


def test_connection_lost_in_the_run(
    local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    with fragile(local_sshd, tmp_path) as (device, link):
        process = start_bench(host_bundle, device, report, "--min-seconds", "60")
        wait_until(lambda: runners(local_sshd))
        link.cut()
        finished = finish(process, report)
    finished.assert_refused(EXIT_CODE, device.host, "lost")
    wait_until(lambda: not runners(local_sshd))  # it does not run on by itself


def test_runner_killed(local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    process = start_bench(host_bundle, local_sshd, report, "--min-seconds", "60")
    wait_until(lambda: runners_by_name(local_sshd))
    os.kill(runners_by_name(local_sshd)[0], signal.SIGKILL)
    finish(process, report).assert_refused(EXIT_CODE, local_sshd.host, "killed", "memory")
    assert list(local_sshd.home.glob(".cache/bitat-deploy/runs/*")) == []
    bench(host_bundle, local_sshd, report).json()


def test_session_killed(local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    process = start_bench(host_bundle, local_sshd, report, "--min-seconds", "60")
    wait_until(lambda: runners_by_name(local_sshd))
    local_sshd.drop_connections()
    finish(process, report).assert_refused(EXIT_CODE, local_sshd.host, "lost")
    wait_until(lambda: not runners(local_sshd))
    bench(host_bundle, local_sshd, report).json()


@pytest.mark.virtual_pi
def test_power_lost_in_the_run_and_back(
    doomed_virtual_pi: VirtualPi, rpi4_bundle: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    process = start_bench(rpi4_bundle, doomed_virtual_pi, report, "--min-seconds", "60")
    wait_until(lambda: doomed_virtual_pi.run("pgrep -x runner", check=False))
    doomed_virtual_pi.switch_off_and_on()
    finish(process, report).assert_refused(EXIT_CODE, doomed_virtual_pi.host, "lost")
    doomed_virtual_pi.wait_until_up()
    document = bench(rpi4_bundle, doomed_virtual_pi, report).json()
    assert document["accuracy"]["logits_equal"] is True


def runners_by_name(device: LocalSshd) -> list[int]:
    """The runners themselves, without the shells that wait for them."""
    found = []
    for process in runners(device):
        with suppress(OSError):  # it may just have ended
            if Path(f"/proc/{process}/comm").read_text() == "runner\n":
                found.append(process)
    return found


def runners(device: LocalSshd) -> list[int]:
    """Processes that run in the device's run folders."""
    return processes_in(device.home / ".cache")
