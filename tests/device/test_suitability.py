from dataclasses import replace
from typing import Any

import pytest

from bitat_deploy.device import Device, Finding, Severity, diagnose
from bitat_deploy.target import load_target
from tests.device.sound_pi import DEVICE, HEALTH

RPI4 = load_target("rpi4")


def the_one(severity: Severity, device: Device) -> Finding:
    found = diagnose(device, HEALTH, [RPI4])
    (finding,) = [finding for finding in found if finding.severity is not Severity.OK]
    assert finding.severity is severity
    assert finding.remedy
    return finding


def test_sound_pi() -> None:
    found = diagnose(DEVICE, HEALTH, [RPI4])
    assert all(finding.severity is Severity.OK and not finding.remedy for finding in found)
    subjects = [finding.subject for finding in found]
    assert len(set(subjects)) == len(subjects)


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


def test_emulated() -> None:
    assert "emulated" in the_one(Severity.WARNING, replace(DEVICE, emulated=True)).message


def test_one_of_several_targets_is_enough() -> None:
    other = replace(load_target("x86-64-avx2"), name="other")
    target = diagnose(DEVICE, HEALTH, [other, RPI4])[1]
    assert target == Finding(Severity.OK, "target", "bundles for rpi4 run here")


def test_no_target_fits() -> None:
    other = replace(load_target("x86-64-avx2"), name="other")
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


@pytest.mark.parametrize(
    ("arch", "features", "cpu", "remedy"),
    [
        ("armv7l", {"asimd", "fp"}, "Cortex-A72", "build with --target rpi-32bit, or install"),
        ("x86_64", {"avx2", "fma", "bmi2"}, "AMD EPYC", "--target x86-64-avx2"),
        ("aarch64", {"asimd"}, "Cortex-A72", "--target aarch64"),  # no crc32
        ("i686", {"sse2"}, "Atom", "none of our targets fits"),
    ],
)
def test_the_target_that_fits_is_named(
    arch: str, features: set[str], cpu: str, remedy: str
) -> None:
    avx2 = frozenset(load_target("x86-64-avx2").required) if arch == "x86_64" else frozenset()
    device = replace(DEVICE, arch=arch, features=features | avx2, cpu=cpu)
    assert remedy in the_one(Severity.PROBLEM, device).remedy


def test_the_very_processor_is_named() -> None:
    found = diagnose(DEVICE, HEALTH, [load_target("x86-64-avx2")])[1]
    assert found.remedy == "build with --target rpi4"


def test_another_folder_is_named() -> None:
    refused = replace(DEVICE, execute_refusal="Permission denied", other_folder="/var/tmp")
    assert "--device-folder /var/tmp" in the_one(Severity.PROBLEM, refused).remedy
