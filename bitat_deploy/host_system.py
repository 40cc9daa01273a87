"""The machine that this program runs on: is it one that we support, and what has it."""

import os
import platform

from bitat_deploy.errors import BuildError

LINUX = "Linux"
# Tested on the first. On macOS networks are built for boards and boards are measured; it is no
# target itself.
_SUPPORTED = {(LINUX, "x86_64"), (LINUX, "aarch64"), ("Darwin", "arm64")}


def check_host_system() -> None:
    """Raise BuildError where this program cannot work."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) in _SUPPORTED:
        return
    if system == "Windows":
        raise BuildError(
            "bitat-deploy does not run on Windows itself; install it inside WSL 2 "
            "('wsl --install' in PowerShell gives you one), where it runs as on Linux"
        )
    raise BuildError(
        f"bitat-deploy does not run on {system} {machine}, as TVM has no package for it; "
        "use Linux (x86_64 or aarch64) or macOS (arm64)"
    )


def is_linux() -> bool:
    """Whether this machine can be a target and a device itself."""
    return platform.system() == LINUX


def usable_cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
