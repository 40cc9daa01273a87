"""What else is done with a device: classify pictures on it, examine it, clean it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitat_deploy import device
from bitat_deploy.bundle import Bundle, read_bundle
from bitat_deploy.datasets import load_picture
from bitat_deploy.device import Connection, Finding
from bitat_deploy.errors import InputError
from bitat_deploy.progress import Progress, silent
from bitat_deploy.target import Target, load_target, target_names


@contextlib.contextmanager
def connected(
    host: str | Connection,
    progress: Progress = silent,
    connect: Callable[[str], Connection] = device.connect,
) -> Iterator[Connection]:
    """A connection to ``host`` for as long as the block lasts; one that is open stays open."""
    if not isinstance(host, str):
        yield host
        return
    progress(f"connecting to {host}", 0, 0)
    with connect(host) as connection:
        yield connection


def run(
    bundle: Bundle | str | Path,
    pictures: Sequence[str | Path],
    host: str | Connection = device.LOCAL,
    *,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Classify picture files on a device: logits float32 [pictures, classes].

    A picture may have any size and common format; it is cropped and resized as the bundle records.
    The classes' names are ``bundle.manifest.model.class_names``. ``host`` is as for :func:`bench`.
    Raises InputError, also for what is no picture, and as :func:`bench`.
    """
    if not isinstance(bundle, Bundle):
        bundle = read_bundle(Path(bundle))
    if not pictures:
        raise InputError("there is no picture to classify; give at least one")
    model = bundle.manifest.model
    pixels = np.stack(
        [load_picture(Path(path), model.input_shape, model.preprocessing) for path in pictures]
    )
    with connected(host, progress) as connection:
        return device.classify(bundle, connection, pixels, progress)


def doctor(
    host: str | Connection = device.LOCAL, target: str | Path | Target | None = None
) -> list[Finding]:
    """What was looked at on a device, in the order in which to read it, with remedies.

    Without ``target``, any that fits will do. Raises InputError, ConnectionFailedError,
    RunFailedError.
    """
    if isinstance(target, Target):
        targets = [target]
    else:
        targets = _all_targets() if target is None else [load_target(str(target))]
    with connected(host) as connection:
        found = device.inspect_device(connection)
        health = device.read_health(connection)
    return device.diagnose(found, health, targets)


def clean(host: str | Connection = device.LOCAL, *, force: bool = False) -> int:
    """Remove what benches left on a device, and nothing else; how many bytes that were.

    Unless ``force``, raises RunFailedError while a run is under way.
    """
    with connected(host) as connection:
        return device.clean_device(connection, force=force)


def _all_targets() -> list[Target]:
    targets = []
    for name in target_names():
        try:
            targets.append(load_target(name))
        except InputError:
            continue  # no target fits this machine
    return targets
