import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bitat_deploy.cli.main import cli
from bitat_deploy.errors import DeviceUnsuitableError
from tests.ssh_devices import LocalSshd, SshDevice, VirtualPi


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *arguments])


def by_ssh(device: SshDevice, *arguments: str) -> Result:
    return doctor("--host", device.host, "-F", str(device.ssh_config), *arguments)


def words(result: Result) -> str:
    """What it printed, without the table's line breaks."""
    return " ".join(result.output.split())


def assert_refused(result: Result, *expected: str) -> None:
    assert isinstance(result.exception, DeviceUnsuitableError), result.output
    for text in ("problem", *expected):
        assert text in words(result)


def test_this_machine() -> None:
    result = doctor("--target", "host")
    assert result.exit_code == 0, result.output
    assert "bundles for host run here" in words(result)


def test_throttled_pi(local_sshd: LocalSshd) -> None:
    vcgencmd = local_sshd.programs / "vcgencmd"
    vcgencmd.write_text("#!/bin/sh\necho throttled=0x50005\n")
    vcgencmd.chmod(0o755)
    try:
        result = by_ssh(local_sshd)
    finally:
        vcgencmd.unlink()
    assert result.exit_code == 0, result.output
    assert "warning power under-voltage, throttled now" in words(result)
    assert "power supply" in words(result)


def test_wrong_target(local_sshd: LocalSshd) -> None:
    assert_refused(by_ssh(local_sshd, "--target", "rpi4"), "it is x86_64", "for aarch64")


def test_work_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert_refused(doctor(), "work folder", "cannot be written: File exists")


def test_work_folder_mounted_noexec(noexec_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(noexec_folder))
    assert_refused(doctor(), "cannot be started in", "Permission denied", "mounted noexec")
    assert list(noexec_folder.iterdir()) == []


@pytest.fixture
def noexec_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which no program may be started; mounting takes root."""
    options = ["-t", "tmpfs", "-o", "noexec,size=60m", "tmpfs"]
    mounted = subprocess.run(["mount", *options, tmp_path], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("this user may not mount")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_unknown_target() -> None:
    result = doctor("--target", "rpi9")
    assert "unknown target 'rpi9'" in str(result.exception)


@pytest.mark.virtual_pi
def test_virtual_pi(virtual_pi: VirtualPi) -> None:
    result = by_ssh(virtual_pi, "--target", "rpi4")
    assert result.exit_code == 0, result.output
    assert "emulated" in words(result) and "bundles for rpi4 run here" in words(result)
