"""The test devices themselves, before bitat-deploy runs on them."""

import pytest

from tests.ssh_devices import LocalSshd, VirtualPi


@pytest.mark.virtual_pi
def test_virtual_pi_is_a_bare_64_bit_arm_system(virtual_pi: VirtualPi) -> None:
    assert virtual_pi.run("uname -m; getconf LONG_BIT; id -un").split() == ["aarch64", "64", "pi"]
    assert virtual_pi.run("command -v python3 cc", check=False) == ""


@pytest.mark.virtual_pi
def test_32_bit_virtual_pi_has_a_64_bit_kernel(virtual_pi_32_bit: VirtualPi) -> None:
    assert virtual_pi_32_bit.run("uname -m; getconf LONG_BIT").split() == ["aarch64", "32"]


def test_local_sshd_keeps_out_of_the_users_home(local_sshd: LocalSshd) -> None:
    assert local_sshd.run("pwd; echo $HOME").split() == [str(local_sshd.home)] * 2


def test_local_sshd_shadows_programs(local_sshd: LocalSshd) -> None:
    shadow = local_sshd.programs / "getconf"
    shadow.write_text("#!/bin/sh\necho 32\n")
    shadow.chmod(0o755)
    try:
        assert local_sshd.run("getconf LONG_BIT") == "32\n"
    finally:
        shadow.unlink()
