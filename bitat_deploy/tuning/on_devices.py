"""Tuning on devices: each takes batches off the same queue, over a connection of its own."""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from bitat_deploy.bundle.bundle import LIBRARY_FOLDER
from bitat_deploy.bundle.runtime_libraries import runtime_libraries
from bitat_deploy.compiler.record import DEVICE, EMULATED, LOCAL
from bitat_deploy.device.connect import LOCAL as LOCAL_HOST
from bitat_deploy.device.connection import Connection
from bitat_deploy.device.health import read_health
from bitat_deploy.device.inspect import Device, inspect_device
from bitat_deploy.device.push import RunFolder, push_file, pushed
from bitat_deploy.errors import (
    BitatDeployError,
    ConnectionFailedError,
    DeviceUnsuitableError,
    RunFailedError,
)
from bitat_deploy.target import Target
from bitat_deploy.tuning.kernel import Kernel
from bitat_deploy.tuning.log import Origin
from bitat_deploy.tuning.measurement import TimedBatch, measure_batch
from bitat_deploy.tuning.measuring_program import MEASURE_KERNELS
from bitat_deploy.tuning.preflight import check_worthwhile
from bitat_deploy.tuning.session import Builder, Session
from bitat_deploy.tuning.task import Check

UNIT = "ns"

_ANY_NOISE = float("inf")
_OF_THE_DEVICE = (ConnectionFailedError, DeviceUnsuitableError, RunFailedError)


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
    """Work through all jobs on all ``hosts`` at once; the errors of those that failed.

    The others do their share. Ctrl-C ends what runs on each of them.
    """
    runs = [_HostRun(session, builder, host, connect, target, program, force) for host in hosts]
    with ThreadPoolExecutor(len(runs)) as pool:
        futures = [pool.submit(run) for run in runs]
        try:
            # Not one by one: Ctrl-C comes to this thread alone.
            while wait(futures, timeout=0.5).not_done:
                pass
        except BaseException:
            session.work.stop()
            for run in runs:
                run.stop()
            raise
        results = [future.result() for future in futures]
    return {host: error for host, error in zip(hosts, results, strict=True) if error is not None}


class _HostRun:
    """One device in a thread of its own, which another thread may stop."""

    def __init__(
        self,
        session: Session,
        builder: Builder,
        host: str,
        connect: Callable[[str], Connection],
        target: Target,
        program: Path,
        force: bool,
    ) -> None:
        self._session, self._builder, self._host, self._connect = session, builder, host, connect
        self._target, self._program, self._force = target, program, force
        self._connection: Connection | None = None
        self._stopped = threading.Event()

    def __call__(self) -> BitatDeployError | None:
        try:
            with self._connect(self._host) as connection:
                self._connection = connection
                self._tune(connection)
        except _OF_THE_DEVICE as error:
            return error
        except BitatDeployError as error:
            self._session.work.stop()  # it would meet every other device too
            return error
        except BaseException:
            self._session.work.stop()
            raise
        return None

    def stop(self) -> None:
        """End what runs on the device; its thread then tidies up there and ends."""
        self._stopped.set()
        if self._connection is not None:
            self._connection.interrupt()

    def _tune(self, connection: Connection) -> None:
        device = inspect_device(connection)
        check_worthwhile(device, read_health(connection), self._target, force=self._force)
        effort = self._session.effort

        def measure(check: Check, reference: Kernel, kernels: tuple[Kernel, ...]) -> TimedBatch:
            if self._stopped.is_set():
                raise RunFailedError(f"tuning on '{self._host}' was stopped")
            return measure_batch(folder, check, reference, kernels, effort)

        with _pushed_program(connection, device, self._target, self._program) as folder:
            noise = _ANY_NOISE if device.emulated else effort.most_noise
            origin = device_origin(device, self._host)
            self._session.measure_jobs(self._builder, origin, measure, noise)


def device_origin(device: Device, host: str) -> Origin:
    """What records say of a device."""
    source = LOCAL if host == LOCAL_HOST else DEVICE
    cores = f"{device.cores} x {device.cpu}"
    name = f"{device.board} ({cores})" if device.board else cores
    return Origin(EMULATED if device.emulated else source, name, UNIT)


@contextlib.contextmanager
def _pushed_program(
    connection: Connection, device: Device, target: Target, program: Path
) -> Iterator[RunFolder]:
    """Have the measuring program and what it needs in a run folder on the device."""
    paths = {MEASURE_KERNELS: program}
    paths |= {f"{LIBRARY_FOLDER}/{path.name}": path for path in runtime_libraries(target)}
    files = [
        push_file(path, name, executable=name == MEASURE_KERNELS) for name, path in paths.items()
    ]
    identity = hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
    with pushed(connection, device.cache, identity, files) as folder:
        yield folder
