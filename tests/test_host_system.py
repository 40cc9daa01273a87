"""Other host systems, as far as one machine can pretend to be them."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bitat_deploy import target as target_module
from bitat_deploy.device import connect
from bitat_deploy.errors import BuildError, InputError
from bitat_deploy.host_system import check_host_system, usable_cores
from bitat_deploy.target import load_target

# What macOS lacks goes before anything of ours is imported. TVM's files are those of this machine.
MACOS = """
import os, platform, sys, tvm
del os.sched_getaffinity, os.posix_fallocate
platform.system, platform.machine = lambda: "Darwin", lambda: "arm64"
"""
WINDOWS = """
import platform, sys
for name in ("fcntl", "resource"):
    sys.modules[name] = None
platform.system, platform.machine = lambda: "Windows", lambda: "AMD64"
"""


def pretend(system: str, program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", system + program], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("machine", [("Linux", "aarch64"), ("Darwin", "arm64")])
def test_supported(machine: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    check_host_system()
    monkeypatch.setattr(platform, "system", lambda: machine[0])
    monkeypatch.setattr(platform, "machine", lambda: machine[1])
    check_host_system()


@pytest.mark.parametrize(
    "machine", [("Darwin", "x86_64"), ("Linux", "armv7l"), ("Linux", "riscv64"), ("FreeBSD", "x")]
)
def test_refused(machine: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: machine[0])
    monkeypatch.setattr(platform, "machine", lambda: machine[1])
    with pytest.raises(BuildError, match=" ".join(machine)):
        check_host_system()


@pytest.mark.parametrize(
    "program",
    [
        "from bitat_deploy.cli import main; main()",
        "import bitat_deploy as bd\n"
        "try: bd.build\n"
        "except bd.BitatDeployError as error: print('Error:', error, file=sys.stderr)",
    ],
)
def test_windows_is_told_what_to_do(program: str) -> None:
    finished = pretend(WINDOWS, program)
    (line,) = finished.stderr.splitlines()
    assert line.startswith("Error: ") and "WSL 2" in line


def test_macos_builds_for_boards(host_bundle: Path, tmp_path: Path) -> None:
    bundle, model = str(tmp_path / "bundle"), str(host_bundle / "model.onnx")
    program = f"""
from bitat_deploy.cli import main
from bitat_deploy.tuning import TuneOptions
assert TuneOptions().jobs == os.cpu_count()
sys.argv[1:] = ["build", {model!r}, "--target", "rpi4", "-o", {bundle!r}, "--no-cache"]
main()
"""
    finished = pretend(MACOS, program)
    assert finished.returncode == 0, finished.stderr
    assert f"in {bundle}" in finished.stdout.replace("\n", "")


def test_macos_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    with pytest.raises(InputError, match="nothing can be measured on it"):
        connect("local")
    with pytest.raises(InputError, match="Darwin arm64; build for a board"):
        load_target("host")


@pytest.mark.parametrize(
    ("parts", "cpu"),
    [
        (["0xd03"] * 4, "cortex-a53"),
        (["0xd08"] * 4, "cortex-a72"),
        (["0xd0b"] * 4, "cortex-a76"),
        (["0xd05"] * 4, "cortex-a55"),
        (["0xd03", "0xd0b"], "generic"),
        (["0xd4f"] * 64, "generic"),
        ([], "generic"),
    ],
)
def test_host_on_a_board(parts: list[str], cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"CPU part": parts, "CPU implementer": ["0x41"] * len(parts)}
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(target_module, "_cpu_facts", facts.__getitem__)
    host = load_target("host")
    assert (host.name, host.architecture, host.cpu) == ("host", "aarch64", cpu)
    assert host.cores == usable_cores() == len(os.sched_getaffinity(0))
