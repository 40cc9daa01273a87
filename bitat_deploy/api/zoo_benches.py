"""All networks of the zoo on one device: the figures that a board is compared by."""

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bitat_deploy import device
from bitat_deploy.api.benches import bench
from bitat_deploy.api.bundles import build
from bitat_deploy.api.devices import connected
from bitat_deploy.baseline import has_onnx_runtime
from bitat_deploy.device import BenchOptions, BenchResult, Connection, fitting_target
from bitat_deploy.progress import Progress, silent
from bitat_deploy.target import Target
from bitat_deploy.zoo import zoo_names


def bench_zoo(
    host: str | Connection = device.LOCAL,
    target: str | Path | Target | None = None,
    *,
    networks: Sequence[str] | None = None,
    data: str | Path | None = None,
    images: int | None = None,
    options: BenchOptions | None = None,
    connect: Callable[[str], Connection] = device.connect,
    progress: Progress = silent,
) -> Iterator[tuple[str, BenchResult]]:
    """Build and measure ``networks`` of the zoo, by default all, with their baselines.

    Each result comes as soon as it is there. Without ``target`` the networks are built for the one
    that fits the device best. A device that ONNX Runtime does not run on gives no baselines. The
    other arguments are as for :func:`bench`; ``connect`` opens the connection. Raises
    DeviceUnsuitableError where no target fits, otherwise as :func:`build` and :func:`bench`.
    """
    with connected(host, progress, connect) as connection:
        if target is None:
            target = fitting_target(connection)
        for name in networks or zoo_names():
            tell = functools.partial(_tell, progress, name)
            bundle = build(name, target, progress=tell)
            result = bench(
                bundle,
                connection,
                data=data,
                images=images,
                options=options,
                baseline=has_onnx_runtime(bundle.manifest.target),
                progress=tell,
            )
            yield name, result


def _tell(progress: Progress, name: str, stage: str, done: int, total: int) -> None:
    progress(f"{name}: {stage}", done, total)
