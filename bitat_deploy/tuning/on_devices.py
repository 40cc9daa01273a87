"""Tuning on devices: each takes batches off the same queue, over a connection of its own."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bitat_deploy.bundle import LIBRARY_FOLDER, runtime_libraries
from bitat_deploy.device import LOCAL as LOCAL_HOST
from bitat_deploy.device import (
    Board,
    CheckRunning,
    Connection,
    Device,
    Health,
    RunFolder,
    Severity,
    check_suitable,
    examine,
    inspect_device,
    on_boards,
    push_file,
    pushed,
    read_health,
)
from bitat_deploy.errors import (
    BitatDeployError,
    ConnectionFailedError,
    DeviceUnsuitableError,
    RunFailedError,
)
from bitat_deploy.records import DEVICE, EMULATED, LOCAL
from bitat_deploy.target import Target
from bitat_deploy.tuning.building import Builder, Kernel
from bitat_deploy.tuning.log import Origin
from bitat_deploy.tuning.measurement import MEASURE_KERNELS, TimedBatch, measure_batch
from bitat_deploy.tuning.session import Session
from bitat_deploy.tuning.task import Check

_ANY_NOISE = float("inf")
_NEEDED_BYTES = 30_000_000  # program, TVM's libraries, a batch

# Errors of one device. Any other would meet every other device too.
_DEVICE_ERRORS = (ConnectionFailedError, DeviceUnsuitableError, RunFailedError)


def tune_on_devices(
    session: Session,
    builder: Builder,
    hosts: Sequence[str],
    connect: Callable[[str], Connection],
    target: Target,
    program: Path,
    *,
    force: bool = False,
) -> dict[str, BitatDeployError]:
    """Work through all jobs on all ``hosts`` at once; the errors of the devices that failed.

    The others do their share. An error that is not a device's ends the work and is raised.
    """

    def tune(board: Board, connection: Connection, check_running: CheckRunning) -> None:
        device = _fit_device(connection, target, force)

        def measure(check: Check, reference: Kernel, kernels: tuple[Kernel, ...]) -> TimedBatch:
            check_running()
            return measure_batch(folder, check, reference, kernels, session.effort)

        with _pushed_program(connection, device, target, program) as folder:
            noise = _ANY_NOISE if device.emulated else session.effort.most_noise
            session.measure_jobs(builder, _origin(device, board.host), measure, noise)

    outcomes = on_boards(
        [Board(host, host) for host in hosts],
        lambda board: connect(board.host),
        tune,
        tolerated=_DEVICE_ERRORS,
        on_stop=session.work.stop,
    )
    return {outcome.board.host: outcome.error for outcome in outcomes if outcome.error is not None}


def check_devices(
    hosts: Sequence[str], connect: Callable[[str], Connection], target: Target, *, force: bool
) -> None:
    """Raise the error of a device if there is none to tune on: before minutes of compiling."""
    outcomes = on_boards(
        [Board(host, host) for host in hosts],
        lambda board: connect(board.host),
        lambda board, connection, check_running: _fit_device(connection, target, force),
        tolerated=_DEVICE_ERRORS,
    )
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if len(errors) == len(hosts):
        raise errors[0]


def _fit_device(connection: Connection, target: Target, force: bool) -> Device:
    """The device, if code for ``target`` can be measured there; otherwise DeviceUnsuitableError."""
    device = inspect_device(connection)
    check_suitable(device, target, _NEEDED_BYTES)
    if not force:
        check_worthwhile(device, read_health(connection))
    return device


def check_worthwhile(device: Device, health: Health) -> None:
    """Raise DeviceUnsuitableError if the device's state would make its times worthless."""
    reasons = [f.message for f in examine(health) if f.severity is Severity.WORTHLESS]
    if reasons:
        raise DeviceUnsuitableError(
            f"times of '{device.name}' would be worthless: {'; '.join(reasons)}; "
            f"'bitat-deploy doctor --host {device.name}' gives the remedies, --force measures "
            "anyway"
        )


def _origin(device: Device, host: str) -> Origin:
    """The origin of a device's records."""
    source = LOCAL if host == LOCAL_HOST else DEVICE
    cores = f"{device.cores} x {device.cpu}"
    name = f"{device.board} ({cores})" if device.board else cores
    return Origin(EMULATED if device.emulated else source, name, "ns")


@contextlib.contextmanager
def _pushed_program(
    connection: Connection, device: Device, target: Target, program: Path
) -> Iterator[RunFolder]:
    """Keep the measuring program and its libraries in a run folder on the device."""
    paths = {MEASURE_KERNELS: program}
    paths |= {f"{LIBRARY_FOLDER}/{path.name}": path for path in runtime_libraries(target)}
    files = [
        push_file(path, name, executable=name == MEASURE_KERNELS) for name, path in paths.items()
    ]
    identity = hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
    with pushed(connection, device.cache, identity, files) as folder:
        yield folder
