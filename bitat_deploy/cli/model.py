"""The options of build and tune for networks from elsewhere."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from bitat_deploy.bounded_process import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from bitat_deploy.foreign import Preprocessing

_GIB = 1 << 30

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
