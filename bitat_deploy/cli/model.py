"""The argument MODEL of build and tune, and the options for networks from elsewhere."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from bitat_deploy.bounded_process import DEFAULT_LIMITS, Limits
from bitat_deploy.errors import InputError
from bitat_deploy.files import scratch_folder
from bitat_deploy.network import IntegerNetwork
from bitat_deploy.onnx_format import to_onnx, write_validated
from bitat_deploy.zoo import resolve_model

if TYPE_CHECKING:
    from bitat_deploy.foreign import Preprocessing

_GIB = 1 << 30
CHECKPOINT_SUFFIX = ".pt"
VALIDATION_IMAGES = 64

_FOREIGN_OPTIONS = (
    click.option(
        "--mean",
        metavar="M[,M,M]",
        help="Of networks from elsewhere: subtracted from the scaled pixel, for each channel.",
    ),
    click.option(
        "--std",
        metavar="S[,S,S]",
        help="Of networks from elsewhere: divisor of the difference, for each channel.",
    ),
    click.option(
        "--input-scale",
        type=float,
        metavar="FACTOR",
        help="Of networks from elsewhere: factor of the pixel's byte.  [default: 1/255]",
    ),
    click.option(
        "--import-memory",
        type=click.FloatRange(0.1, 1024),
        metavar="GIB",
        default=DEFAULT_LIMITS.memory_bytes / _GIB,
        show_default=True,
        help="Of networks from elsewhere: memory that reading and compiling one may take.",
    ),
    click.option(
        "--import-time",
        type=click.FloatRange(1, 86400),
        metavar="SECONDS",
        default=DEFAULT_LIMITS.seconds,
        show_default=True,
        help="Of networks from elsewhere: time that reading and compiling one may take.",
    ),
)


def foreign_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options for networks from elsewhere: the command's ``preprocessing`` and ``limits``.

    The former is None where neither ``--mean`` nor ``--std`` nor ``--input-scale`` was given.
    """

    @functools.wraps(command)
    def with_foreign(
        *,
        mean: str | None,
        std: str | None,
        input_scale: float | None,
        import_memory: float,
        import_time: float,
        **others: Any,
    ) -> None:
        limits = Limits(round(import_memory * _GIB), import_time)
        command(preprocessing=_preprocessing(mean, std, input_scale), limits=limits, **others)

    for option in reversed(_FOREIGN_OPTIONS):
        option(with_foreign)
    return with_foreign


@contextmanager
def onnx_file(model: str, status: Callable[[str], None]) -> Iterator[Path]:
    """The ONNX file of MODEL; that of a checkpoint is temporary.

    Raises InputError where there is no such file, and no such name in the zoo.
    """
    if not model.endswith(CHECKPOINT_SUFFIX):
        yield resolve_model(model)
        return
    with scratch_folder() as folder:
        status("exporting the checkpoint")
        exported = folder / "model.onnx"
        export_checkpoint(Path(model), exported)
        yield exported


def export_checkpoint(checkpoint: Path, output: Path) -> IntegerNetwork:
    """Export a checkpoint of our training to the ONNX file ``output``; the network written.

    Raises InputError for a missing or damaged checkpoint, or where torch is not installed.
    """
    try:
        from bitat_deploy.training import integer_logits, load_checkpoint_network
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            f"reading the checkpoint '{checkpoint}' needs PyTorch; "
            "install it with: pip install 'bitat-deploy[train]'"
        ) from error
    network = load_checkpoint_network(checkpoint)
    model = to_onnx(network)
    generator = np.random.default_rng(0)
    shape = (VALIDATION_IMAGES, *network.input_shape)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    write_validated(model, images, integer_logits(network, images), output)
    return network


def _preprocessing(
    mean: str | None, std: str | None, scale: float | None
) -> "Preprocessing | None":
    if mean is None and std is None and scale is None:
        return None
    from bitat_deploy.foreign import Preprocessing  # imports ONNX Runtime

    given: dict[str, Any] = {}
    for name, text in (("mean", mean), ("std", std)):
        if text is not None:
            try:
                given[name] = tuple(float(number) for number in text.split(","))
            except ValueError as error:
                raise click.UsageError(
                    f"--{name} takes numbers separated by commas, like 0.5,0.5,0.5; not '{text}'"
                ) from error
    if scale is not None:
        given["scale"] = scale
    return Preprocessing(**given)
