from dataclasses import replace
from typing import Any

import pytest

from bitat_deploy.device.diagnosis import diagnose
from bitat_deploy.device.finding import Finding, Severity
from bitat_deploy.device.health import Health
from bitat_deploy.device.inspect import Device
from bitat_deploy.target import load_target
from tests.device.sound_pi import DEVICE, HEALTH, health

RPI4 = load_target("rpi4")


def findings(device: Device = DEVICE, state: Health = HEALTH) -> list[Finding]:
    return diagnose(device, state, [RPI4])


def the_one(severity: Severity, device: Device = DEVICE, state: Health = HEALTH) -> Finding:
    (finding,) = [f for f in findings(device, state) if f.severity is not Severity.OK]
    assert finding.severity is severity
    assert finding.remedy
    return finding


def test_sound_pi() -> None:
    found = findings()
    assert all(finding.severity is Severity.OK and not finding.remedy for finding in found)
    subjects = [finding.subject for finding in found]
    assert len(set(subjects)) == len(subjects)


def test_nothing_is_told() -> None:
    unknown = Health((), None, None, None, None, None, 0, None, None, None)
    assert all(finding.severity is Severity.OK for finding in findings(state=unknown))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arch": "armv7l"}, "32-bit (armv7l), a 64-bit one"),
        ({"glibc": "2.17"}, "glibc 2.17, 2.28 or newer"),
        ({"glibc": ""}, "not glibc"),
        ({"features": frozenset({"fp"})}, "lacks asimd, crc32"),
        ({"free_disk_bytes": 7_000_000}, "7 MB are free"),
        ({"write_refusal": "Read-only file system"}, "cannot be written: Read-only file system"),
        ({"execute_refusal": "Permission denied"}, "cannot be started in"),
    ],
)
def test_problem(changes: dict[str, Any], words: str) -> None:
    assert words in the_one(Severity.PROBLEM, replace(DEVICE, **changes)).message


@pytest.mark.parametrize(
    ("changes", "subject", "words"),
    [
        ({"throttled": 0x50005}, "power", "now: under-voltage, throttled"),
        ({"throttled": 0x50000}, "power", "since it was switched on: under-voltage, throttled"),
        ({"temperature": 66}, "temperature", "slows down from 80 °C"),
        ({"governor": "powersave"}, "clock", "'powersave', which keeps it low"),
        ({"governor": "ondemand", "seconds_at": ()}, "clock", "as it sees fit"),
        ({"limit": 1000}, "clock", "limited to 1000 MHz"),
        ({"load": 1.5}, "load", "1.50 processes"),
        ({"free_memory_bytes": 30_000_000}, "memory", "30 MB"),
        ({"clock_skew": -7200}, "time", "2 hours behind"),
        ({"clock_skew": 90}, "time", "90 seconds ahead of"),
    ],
)
def test_warning(changes: dict[str, Any], subject: str, words: str) -> None:
    finding = the_one(Severity.WARNING, state=health(**changes))
    assert finding.subject == subject
    assert words in finding.message


def test_remedy_fits_the_cause() -> None:
    under_voltage = the_one(Severity.WARNING, state=health(throttled=0x1))
    assert "power supply" in under_voltage.remedy and "cool" not in under_voltage.remedy
    hot = the_one(Severity.WARNING, state=health(throttled=0x8))
    assert "power supply" not in hot.remedy and "cool" in hot.remedy


def test_emulated() -> None:
    assert "emulated" in the_one(Severity.WARNING, replace(DEVICE, emulated=True)).message


def test_one_of_several_targets_is_enough() -> None:
    other = replace(RPI4, name="other", architecture="riscv64")
    target = diagnose(DEVICE, HEALTH, [other, RPI4])[1]
    assert target == Finding(Severity.OK, "target", "bundles for rpi4 run here")


def test_no_target_fits() -> None:
    other = replace(RPI4, name="other", architecture="riscv64")
    target = diagnose(replace(DEVICE, arch="armv7l"), HEALTH, [RPI4, other])[1]
    assert target.severity is Severity.PROBLEM
    assert "rpi4: its system is 32-bit" in target.message and "other: it is" in target.message


@pytest.mark.parametrize(
    ("arch", "features", "words"),
    [
        ("armv7l", {"neon", "vfpv4", "idiva"}, "rpi-32bit run"),
        ("armv7l", {"asimd", "fp"}, "rpi-32bit run"),  # as a 64-bit kernel says it
        ("armv7l", {"vfpv3"}, "lacks idiva, neon, vfpv4"),
        ("armv6l", {"vfp"}, "ARMv6"),
        ("aarch64", {"asimd"}, "the bundle is for armv7l"),
    ],
)
def test_32_bit_target(arch: str, features: set[str], words: str) -> None:
    """Its bundles bring their own C library."""
    device = replace(DEVICE, arch=arch, features=frozenset(features), glibc="")
    assert words in diagnose(device, HEALTH, [load_target("rpi-32bit")])[1].message


def test_32_bit_system_is_told_the_target_that_fits() -> None:
    assert "--target rpi-32bit" in the_one(Severity.PROBLEM, replace(DEVICE, arch="armv7l")).remedy
