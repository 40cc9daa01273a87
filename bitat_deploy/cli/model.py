"""The options of build and tune for networks from elsewhere."""

import functools
import re
from collections.abc import Callable
from typing import Any

import click

from bitat_deploy.bounded_process import DEFAULT_LIMITS, Limits
from bitat_deploy.network import FILTERS, FITS, ORDERS, Preprocessing

_GIB = 1 << 30

_FOREIGN_OPTIONS = (
    click.option(
        "--mean",
        metavar="M[,M,M]",
        help="For networks from elsewhere: subtracted from the scaled pixel, for each channel.",
    ),
    click.option(
        "--std",
        metavar="S[,S,S]",
        help="For networks from elsewhere: divisor of the difference, for each channel.",
    ),
    click.option(
        "--input-scale",
        type=float,
        metavar="FACTOR",
        help="For networks from elsewhere: factor of the pixel's byte.  [default: 1/255]",
    ),
    click.option(
        "--fit",
        type=click.Choice(FITS),
        help="For networks from elsewhere: what of a picture is used: its middle in the network's "
        "proportions, all of it stretched, or its middle pixels without resizing.  [default: crop]",
    ),
    click.option(
        "--resize",
        type=click.Choice(FILTERS),
        help="For networks from elsewhere: how a picture is resized.  [default: bicubic]",
    ),
    click.option(
        "--resized-to",
        metavar="N|HxW",
        help="For networks from elsewhere: the size before the network's middle is taken from it, "
        "like 256 for a network of 224.  [default: the network's own]",
    ),
    click.option(
        "--order",
        type=click.Choice(ORDERS),
        help="For networks from elsewhere: the order of the colours.  [default: rgb]",
    ),
    click.option(
        "--input-shape",
        metavar="HxW[xC]",
        help="For networks from elsewhere: height, width and channels of the picture, where the "
        "file leaves them open.",
    ),
    click.option(
        "--import-memory",
        type=click.FloatRange(0.1, 1024),
        metavar="GIB",
        default=DEFAULT_LIMITS.memory_bytes / _GIB,
        show_default=True,
        help="For networks from elsewhere: memory that reading and compiling one may take.",
    ),
    click.option(
        "--import-time",
        type=click.FloatRange(1, 86400),
        metavar="SECONDS",
        default=DEFAULT_LIMITS.seconds,
        show_default=True,
        help="For networks from elsewhere: time that reading and compiling one may take.",
    ),
)


def foreign_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options for networks from elsewhere: the command's ``preprocessing``, ``input_shape`` and
    ``limits``.

    The first two are None where no option of theirs was given.
    """

    @functools.wraps(command)
    def with_foreign(
        *,
        mean: str | None,
        std: str | None,
        input_scale: float | None,
        input_shape: str | None,
        fit: str | None,
        resize: str | None,
        resized_to: str | None,
        order: str | None,
        import_memory: float,
        import_time: float,
        **others: Any,
    ) -> None:
        limits = Limits(round(import_memory * _GIB), import_time)
        options: dict[str, Any] = {
            "mean": None if mean is None else _numbers("mean", mean),
            "std": None if std is None else _numbers("std", std),
            "scale": input_scale,
            "fit": fit,
            "resize": resize,
            "resized_to": None if resized_to is None else _size(resized_to),
            "order": order,
        }
        given = {name: value for name, value in options.items() if value is not None}
        preprocessing = Preprocessing(**given) if given else None
        command(
            preprocessing=preprocessing,
            input_shape=None if input_shape is None else _shape(input_shape),
            limits=limits,
            **others,
        )

    for option in reversed(_FOREIGN_OPTIONS):
        option(with_foreign)
    return with_foreign


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise click.UsageError(
            f"--{name} takes numbers separated by commas, like 0.5,0.5,0.5; not '{text}'"
        ) from error


def _shape(text: str) -> tuple[int, ...]:
    """Height and width, or these and the channels, of "HxW" or "HxWxC"."""
    if re.fullmatch("[1-9][0-9]{0,4}x[1-9][0-9]{0,4}(x[1-9])?", text) is None:
        raise click.UsageError(
            f"--input-shape takes height and width, like 224x224 or 96x128x1; not '{text}'"
        )
    return tuple(map(int, text.split("x")))


def _size(text: str) -> tuple[int, int]:
    """Height and width of "N" or "HxW"."""
    match = re.fullmatch("([0-9]{1,5})(?:x([0-9]{1,5}))?", text)
    if match is None:
        raise click.UsageError(f"--resized-to takes a size, like 256 or 240x320; not '{text}'")
    return int(match[1]), int(match[2] or match[1])
