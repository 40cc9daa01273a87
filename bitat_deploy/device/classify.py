"""Running a network over the user's own images, without measuring."""

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.bundle import Bundle
from bitat_deploy.device.bench_options import BenchOptions, Progress
from bitat_deploy.device.connection import Connection
from bitat_deploy.device.execution import fetch_logits, pushed_bundle, run_runner
from bitat_deploy.device.inspect import inspect_device

# The runner measures at least once.
_OPTIONS = BenchOptions(warmup=0, min_runs=1, min_seconds=0)


def classify(
    bundle: Bundle,
    connection: Connection,
    images: NDArray[np.uint8],
    progress: Progress = lambda stage, done, total: None,
) -> NDArray[np.float32]:
    """Logits float32 [N, classes] of ``images`` uint8 [N, H, W, C], computed on the device.

    Raises DeviceUnsuitableError, RunFailedError.
    """
    progress("asking the device what it is", 0, 0)
    device = inspect_device(connection)
    with pushed_bundle(bundle, connection, device, images, progress) as folder:
        document = run_runner(bundle, device, folder, _OPTIONS, progress)
        return fetch_logits(folder, document)
