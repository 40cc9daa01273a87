"""Why a runner failed on a device, from its exit code and what it wrote on standard error."""

import signal

from bitat_deploy.bundle import RUNNER
from bitat_deploy.device.connection import Result
from bitat_deploy.device.inspect import Device
from bitat_deploy.errors import (
    BitatDeployError,
    BundleError,
    DeviceUnsuitableError,
    RunFailedError,
)

# Exit codes: of the runner, and of the dynamic loader before it.
_USAGE, _NO_MEMORY, _NOT_STARTED = 2, 6, 127

OTHER_VERSION = "it is of another version of bitat-deploy: build the bundle again"


def runner_failure(device: Device, result: Result, program: str) -> BitatDeployError:
    """The error for a run of ``program``, the runner or the baseline's, that ended so."""
    number = result.exit_code - 128
    if number == signal.SIGILL:
        if program != RUNNER:
            return RunFailedError(
                f"'{device.name}' ({device.cpu}) lacks an instruction that '{program}' uses"
            )
        return DeviceUnsuitableError(
            f"'{device.name}' ({device.cpu}) lacks an instruction that the bundle uses; "
            "build for another target"
        )
    if number == signal.SIGKILL:
        return RunFailedError(
            f"the runner on '{device.name}' was killed, which is what Linux does when memory "
            f"is short ({device.memory_bytes / 1e6:.0f} MB); end other programs there"
        )
    if 0 < number < signal.NSIG:
        name = signal.strsignal(number) or f"signal {number}"
        return RunFailedError(f"the runner on '{device.name}' crashed: {name}")
    reason = result.last_error.removeprefix("error: ")
    if result.exit_code == _USAGE:
        return BundleError(f"the bundle's runner refuses its options ({reason}); {OTHER_VERSION}")
    if result.exit_code == _NO_MEMORY:
        return DeviceUnsuitableError(
            f"'{device.name}' has too little memory for the network "
            f"({device.memory_bytes / 1e6:.0f} MB in all): {reason}"
        )
    if result.exit_code == _NOT_STARTED:
        return RunFailedError(
            f"the runner cannot start on '{device.name}': {reason}; if a library is missing, "
            "build the bundle again, if one cannot be mapped, end other programs there"
        )
    if "No space left" in reason:
        return RunFailedError(f"the disk of '{device.name}' is full: {reason}; make room there")
    return RunFailedError(f"the runner on '{device.name}' failed: {reason}")
