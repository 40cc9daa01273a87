"""The device is reached but cannot run the bundle: exit code 7."""

from pathlib import Path

import pytest

from bitat_deploy.errors import DeviceUnsuitableError
from tests.bench_command import bench
from tests.ssh_devices import LocalSshd, VirtualPi

EXIT_CODE = DeviceUnsuitableError.exit_code


def test_bundle_for_another_architecture(
    local_sshd: LocalSshd, rpi4_bundle: Path, tmp_path: Path
) -> None:
    finished = bench(rpi4_bundle, local_sshd, tmp_path / "report.json")
    finished.assert_refused(EXIT_CODE, local_sshd.host, "x86_64", "aarch64")


@pytest.mark.virtual_pi
def test_bundle_of_this_machine_on_a_pi(
    virtual_pi: VirtualPi, host_bundle: Path, tmp_path: Path
) -> None:
    finished = bench(host_bundle, virtual_pi, tmp_path / "report.json")
    finished.assert_refused(EXIT_CODE, virtual_pi.host, "x86_64", "aarch64")


@pytest.mark.virtual_pi
def test_32_bit_system(virtual_pi_32_bit: VirtualPi, rpi4_bundle: Path, tmp_path: Path) -> None:
    finished = bench(rpi4_bundle, virtual_pi_32_bit, tmp_path / "report.json")
    finished.assert_refused(
        EXIT_CODE, virtual_pi_32_bit.host, "32-bit", "64-bit", "--target rpi-32bit"
    )


def test_c_library_too_old(local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    # No Debian of today has so old a C library; the device is made to say that it has.
    getconf = local_sshd.programs / "getconf"
    getconf.write_text(
        '#!/bin/sh\n[ "$1" = GNU_LIBC_VERSION ] && echo glibc 2.17 || exec /usr/bin/getconf "$@"\n'
    )
    getconf.chmod(0o755)
    try:
        finished = bench(host_bundle, local_sshd, tmp_path / "report.json")
    finally:
        getconf.unlink()
    finished.assert_refused(EXIT_CODE, local_sshd.host, "glibc", "2.17", "2.28")


@pytest.mark.virtual_pi
def test_too_little_space(virtual_pi: VirtualPi, rpi4_bundle: Path, tmp_path: Path) -> None:
    virtual_pi.run("mv ~/.cache ~/.cache.kept; ln -s /mnt/small ~/.cache")
    try:
        finished = bench(rpi4_bundle, virtual_pi, tmp_path / "report.json")
        assert virtual_pi.run("ls -A /mnt/small") == ""
    finally:
        virtual_pi.run("rm ~/.cache; mv ~/.cache.kept ~/.cache", check=False)
    finished.assert_refused(EXIT_CODE, virtual_pi.host, "MB", "free")
