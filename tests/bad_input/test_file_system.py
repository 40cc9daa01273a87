"""The device's file system cannot be written: from the start, or from the middle of a run."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bitat_deploy.cli.main import as_our_error, cli
from bitat_deploy.errors import BuildError, DeviceUnsuitableError, RunFailedError
from bitat_deploy.onnx_format import to_onnx
from tests.bad_input.test_two_benches import wait_for_runner
from tests.bench_command import bench, finish, start_bench
from tests.drawn_networks import draw_network
from tests.ssh_devices import LocalSshd, VirtualPi


@pytest.fixture
def small_disk(local_sshd: LocalSshd) -> Iterator[Path]:
    """A file system of 64 MB for the device's cache folder."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    folder = local_sshd.home / ".cache"
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("room", ["64k", "4m"])
def test_no_room_in_the_cache(
    room: str, small_disk: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for a bundle's first files, nor for its libraries; the compiled programs are there."""
    subprocess.run(["mount", "-o", f"remount,size={room}", str(small_disk)], check=True)
    ours = small_disk / "bitat-deploy"
    ours.mkdir()
    (ours / "runner").symlink_to(own_cache / "bitat-deploy" / "runner")
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    model = tmp_path / "model.onnx"
    model.write_bytes(to_onnx(draw_network(0, (8, 8, 1), (8, 2), ((16, 2),))).SerializeToString())
    finished = CliRunner().invoke(cli, ["build", str(model)])
    assert isinstance(finished.exception, OSError)
    error = as_our_error(finished.exception)
    assert isinstance(error, BuildError) and f"disk is full at '{small_disk}" in str(error)
    assert (
        not list(small_disk.glob("bitat-deploy/*/.*")) and not (small_disk / "last-build").exists()
    )


def test_read_only_file_system(
    small_disk: Path, local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    report = tmp_path / "report.json"
    finished = bench(host_bundle, local_sshd, report)
    words = (str(small_disk), "Read-only file system", "--device-folder /var/tmp")
    finished.assert_refused(DeviceUnsuitableError.exit_code, local_sshd.host, *words)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    bench(host_bundle, local_sshd, report).json()


def test_home_where_no_program_starts(
    small_disk: Path, local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,noexec", str(small_disk)], check=True)
    report, elsewhere = tmp_path / "report.json", tmp_path / "elsewhere"
    words = ("cannot be started", "noexec", "--device-folder /var/tmp")
    finished = bench(host_bundle, local_sshd, report)
    finished.assert_refused(DeviceUnsuitableError.exit_code, local_sshd.host, *words)
    option = ("--device-folder", str(elsewhere))
    bench(host_bundle, local_sshd, report, *option).json()
    assert list((elsewhere / "bitat-deploy" / "objects").iterdir())
    cleaned = CliRunner().invoke(
        cli, ["clean", "--host", local_sshd.host, "-F", str(local_sshd.ssh_config), *option]
    )
    assert "bytes removed" in cleaned.output
    assert not list(elsewhere.iterdir()) and not list(small_disk.iterdir())


def test_disk_filled_in_the_run(
    small_disk: Path, local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path
) -> None:
    report, filler = tmp_path / "report.json", small_disk / "filler"
    process = start_bench(host_bundle, local_sshd, report, "--min-seconds", "3")
    wait_for_runner(local_sshd)
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False, capture_output=True
    )
    finished = finish(process, report)
    finished.assert_refused(RunFailedError.exit_code, local_sshd.host, "full", "make room")
    assert list(small_disk.glob("bitat-deploy/runs/*")) == []
    filler.unlink()
    bench(host_bundle, local_sshd, report).json()


@pytest.mark.virtual_pi
def test_folder_of_somebody_else(virtual_pi: VirtualPi, rpi4_bundle: Path, tmp_path: Path) -> None:
    folder = "~/.cache/bitat-deploy"
    virtual_pi.run(f"mkdir -p {folder} && chmod 555 {folder}")
    try:
        finished = bench(rpi4_bundle, virtual_pi, tmp_path / "report.json")
    finally:
        virtual_pi.run(f"chmod 755 {folder}")
    finished.assert_refused(
        DeviceUnsuitableError.exit_code, virtual_pi.host, "cannot be written", "Permission denied"
    )
