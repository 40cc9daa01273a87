"""A network and devices to tuning records."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bitat_deploy.api.networks import onnx_file
from bitat_deploy.bounded_process import DEFAULT_LIMITS, Limits
from bitat_deploy.device import LOCAL, Connection
from bitat_deploy.device import connect as connect_to
from bitat_deploy.network import Preprocessing, Supplement
from bitat_deploy.progress import Progress, silent
from bitat_deploy.records import own_records_path
from bitat_deploy.target import Target, load_target
from bitat_deploy.tuning import TuneOptions
from bitat_deploy.zoo import DEFAULT_MODEL

if TYPE_CHECKING:
    from bitat_deploy.tuning import Tuned


def tune(
    model: str | Path = DEFAULT_MODEL,
    target: str | Path | Target = "host",
    hosts: Sequence[str] = (LOCAL,),
    options: TuneOptions | None = None,
    *,
    records: str | Path | None = None,
    preprocessing: Preprocessing | None = None,
    input_shape: Sequence[int] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    connect: Callable[[str], Connection] = connect_to,
    progress: Progress = silent,
) -> "Tuned":
    """Find the fastest schedule of each layer of ``model``; later builds for ``target`` use it.

    ``model``, ``target``, ``preprocessing``, ``input_shape`` and ``limits`` are as for
    :func:`build`. ``hosts`` are devices that share the work, or ``model`` alone, which computes
    cycles instead. Results are added at once to the file ``records``, by default your own, which
    ``build`` reads. Raises InputError, UnsupportedOperatorError, BuildError; a device's error where
    none is left to do the work.
    """
    from bitat_deploy.tuning import tune as run  # imports TVM, which takes seconds

    if not isinstance(target, Target):
        target = load_target(str(target))
    shape = None if input_shape is None else tuple(input_shape)
    with onnx_file(model, progress) as file:
        return run(
            file,
            target,
            hosts,
            own_records_path(target) if records is None else Path(records),
            connect,
            options or TuneOptions(),
            lambda done, total, message: progress(message, done, total),
            lambda message: progress(message, 0, 0),
            Supplement(preprocessing, shape),
            limits,
        )
