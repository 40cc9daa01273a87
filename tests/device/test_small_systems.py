"""Devices that lack usual programs, cores, or a home where programs start."""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bitat_deploy.device import connect
from bitat_deploy.device.connection import Connection, Result
from bitat_deploy.device.inspect import inspect_device
from bitat_deploy.device.local import LocalConnection
from bitat_deploy.device.push import push_file, pushed
from bitat_deploy.errors import InputError, RunFailedError

_SHA256SUM = shutil.which("sha256sum")
_TOOLS = (
    "sh",
    "cat",
    "chmod",
    "cp",
    "cut",
    "find",
    "grep",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "touch",
)

# Programs that print checksums: the name, and a script that prints them as it does.
_BSD = f'for f; do echo "SHA256 ($f) = $({_SHA256SUM} "$f" | cut -d " " -f 1)"; done'
_CHECKSUMS = {
    "sha256sum": f'exec {_SHA256SUM} "$@"',
    "sha256sum of BSD": _BSD,
    "sha256": _BSD,
    "shasum": f'[ "$1 $2" = "-a 256" ] && shift 2 && exec {_SHA256SUM} "$@"',
    "openssl": f'[ "$1 $2" = "dgst -sha256" ] && shift 2 && {_BSD}',
    "busybox": f'[ "$1" = sha256sum ] && shift && exec {_SHA256SUM} "$@"',
}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where programs are found."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def link(programs: Path, name: str) -> None:
    found = shutil.which(name, path=os.defpath + ":/usr/bin:/bin")
    assert found is not None
    (programs / name).symlink_to(found)


def test_busybox_tells_the_same_facts(programs: Path) -> None:
    busybox = shutil.which("busybox", path="/usr/bin:/bin")
    if busybox is None:
        pytest.skip("busybox is not installed")
    subprocess.run([busybox, "--install", "-s", str(programs)], check=True)
    device = inspect_device(connect("local"))
    os.environ["PATH"] = os.defpath  # undone by the fixture
    usual = inspect_device(connect("local"))
    assert device == dataclasses.replace(usual, free_disk_bytes=device.free_disk_bytes)
    assert device.glibc and device.cores == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("tool", _CHECKSUMS)
def test_checksums_of_any_program(tool: str, programs: Path, tmp_path: Path) -> None:
    for name in _TOOLS:
        link(programs, name)
    (programs / tool.split()[0]).write_text(f"#!/bin/sh\n{_CHECKSUMS[tool]}\n")
    (programs / tool.split()[0]).chmod(0o755)
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    files = [push_file(tmp_path / name, name) for name in ("one", "two")]
    connection = connect("local")
    for sent in (2, 0):
        with pushed(connection, str(tmp_path), "identity", files) as folder:
            assert folder.bytes_sent == sent
            assert folder.read("one", 1).stdout == b"1"
    damaged = tmp_path / "bitat-deploy" / "objects" / files[0].sha256
    damaged.chmod(0o644)
    damaged.write_bytes(b"x")
    with pushed(connection, str(tmp_path), "identity", files) as folder:
        assert folder.bytes_sent == 1


def test_no_program_for_checksums(programs: Path, tmp_path: Path) -> None:
    for name in _TOOLS:
        link(programs, name)
    (tmp_path / "one").write_bytes(b"1")
    files = [push_file(tmp_path / "one", "one")]
    with (
        pytest.raises(RunFailedError, match=r"no program sha256sum, .*: install one"),
        pushed(connect("local"), str(tmp_path), "identity", files),
    ):
        pass
    assert not list((tmp_path / "bitat-deploy" / "objects").iterdir())


class OnOneCore(LocalConnection):
    """This machine, of which a cpuset leaves only core 0."""

    def run(self, command: Sequence[str], **options: Any) -> Result:
        return super().run(["taskset", "-c", "0", *command], **options)


def test_cores_of_a_cpuset() -> None:
    if 0 not in os.sched_getaffinity(0):
        pytest.skip("core 0 is not ours")
    assert inspect_device(OnOneCore()).cores == 1


class Saying(LocalConnection):
    """This machine, which says ``facts`` last."""

    def __init__(self, facts: dict[str, str]) -> None:
        super().__init__()
        self._facts = facts

    def run(self, command: Sequence[str], **options: Any) -> Result:
        result = super().run(command, **options)
        lines = "".join(f"{name}={value}\n" for name, value in self._facts.items())
        return dataclasses.replace(result, stdout=result.stdout + lines.encode())


@pytest.mark.parametrize(
    ("allowed", "online", "cores"),
    [
        ("0-3", ",0,1,2,3", 4),
        ("0-127", ",0,1", 2),  # a kernel for many more
        ("0-3", ",0,2,3", 3),  # core 1 is offline
        ("2-3,7", ",0,1,2,3,4,5,6,7", 3),
        ("4-5", ",0,1", 2),  # numbered anew in a container
        ("", ",0,1,2", 3),
        ("0-1", "", 2),
        ("", "", 1),
        ("9" * 5000 + ",3-1,x,-", "-1,0-", 1),
    ],
)
def test_cores(allowed: str, online: str, cores: int) -> None:
    assert inspect_device(Saying({"allowed": allowed, "online": online})).cores == cores


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("glibc 2.36", "2.36"),
        ("release version 2.31", "2.31"),  # in the library itself
        ("musl libc", ""),
        ("glibc " + "9" * 100, ""),
        ("", ""),
    ],
)
def test_c_library(told: str, version: str) -> None:
    assert inspect_device(Saying({"glibc": told})).glibc == version


def test_another_folder(tmp_path: Path) -> None:
    """Where the usual one cannot be used, one that can is named."""
    connection: Connection = connect("local", folder="/proc/nowhere")
    device = inspect_device(connection)
    assert device.cache == "/proc/nowhere" and device.write_refusal
    assert device.other_folder in ("/var/tmp", "/tmp", "/dev/shm")
    device = inspect_device(connect("local", folder=str(tmp_path)))
    assert (device.cache, device.write_refusal, device.other_folder) == (str(tmp_path), "", "")
    assert not list(tmp_path.iterdir())
    for folder in ("relative", "~/x", "/x\ny"):
        with pytest.raises(InputError, match="no absolute path"):
            connect("local", folder=folder)


def test_folder_that_another_user_laid_ready(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    shared = tmp_path / "shared"
    (shared / "bitat-deploy").mkdir(parents=True)
    shared.chmod(0o1777)
    os.chown(shared / "bitat-deploy", 1234, 1234)
    (tmp_path / "one").write_bytes(b"1")
    files = [push_file(tmp_path / "one", "one")]
    with (
        pytest.raises(RunFailedError, match="belongs to another user"),
        pushed(connect("local"), str(shared), "identity", files),
    ):
        pass
