"""What a device is."""

import os
from collections import defaultdict

import pytest

from bitat_deploy.device import connect
from bitat_deploy.device.inspect import inspect_device, is_emulated, user_land
from tests.hostile_device import NASTY, HostileDevice, is_shown_safely


def test_this_machine() -> None:
    device = inspect_device(connect("local"))
    assert device.arch == os.uname().machine
    assert device.kernel.endswith(os.uname().release)
    assert device.cores == len(os.sched_getaffinity(0))
    assert device.memory_bytes == pytest.approx(
        os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), rel=0.01
    )
    assert device.glibc == os.confstr("CS_GNU_LIBC_VERSION").split()[1]
    assert device.free_disk_bytes > 0
    assert device.features


def test_facts_that_are_none() -> None:
    text = {"kernel", "os", "board", "governor", "cpu_name", "implementer", "write_refusal"}
    facts = {"memory": "-5", "free": "\u0665"} | dict.fromkeys(text, NASTY)
    lines = "".join(f"{key}={value}\n" for key, value in facts.items())
    device = inspect_device(HostileDevice({"say machine": lines.encode()}))
    assert (device.memory_bytes, device.free_disk_bytes) == (0, 0)
    for shown in (device.kernel, device.os, device.board, device.governor, device.write_refusal):
        assert is_shown_safely(shown) and len(shown) <= 200


@pytest.mark.parametrize(
    ("machine", "bits", "expected"),
    [
        ("aarch64", "64", "aarch64"),
        ("aarch64", "32", "armv7l"),  # 32-bit Raspberry Pi OS on its 64-bit kernel
        ("aarch64", "1", "armv7l"),  # the same, without getconf
        ("armv8l", "1", "armv7l"),  # in a container for 32 bits
        ("aarch64", "2", "aarch64"),
        ("armv7l", "32", "armv7l"),
        ("x86_64", "", "x86_64"),
    ],
)
def test_user_land(machine: str, bits: str, expected: str) -> None:
    assert user_land(machine, bits) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"machine": "aarch64", "board": "Raspberry Pi 4 Model B Rev 1.4"}, False),
        ({"machine": "aarch64", "board": "linux,dummy-virt"}, True),
        ({"machine": "aarch64", "board": "Raspberry Pi 4 Model B Rev 1.5 (virtual)"}, True),
        ({"machine": "aarch64", "compatible": "linux,dummy-virt"}, True),
        ({"machine": "aarch64", "virtualization": "qemu"}, True),
        ({"machine": "aarch64", "dmi": "Amazon EC2 m6g", "virtualization": "amazon"}, False),
        ({"machine": "aarch64", "vendor": "GenuineIntel"}, True),  # qemu-user
        ({"machine": "x86_64", "dmi": "QEMU Standard PC", "virtualization": "kvm"}, False),
        ({"machine": "x86_64", "cpu_name": "QEMU TCG CPU version 2.5+"}, True),
    ],
)
def test_emulated(facts: dict[str, str], expected: bool) -> None:
    assert is_emulated(defaultdict(str, facts)) is expected
