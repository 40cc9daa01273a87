"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bitat_deploy.errors import InputError

HOST_METAVAR = "local|USER@HOST[:PORT]"

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[_Command], _Command]


class _OneHost(click.ParamType):
    """Text; but bitat.yaml may name several hosts, of which this command takes one."""

    name = "host"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if isinstance(value, str):
            return value
        if len(value) > 1:
            raise InputError(
                f"bitat.yaml names {len(value)} hosts ({', '.join(value)}); choose one with --host"
            )
        return str(value[0])


def examples(*lines: str) -> str:
    """The epilog of a command's help: command lines to copy, left as they are."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])


def host_option() -> _Decorator[Any]:
    """``--host``, one device."""
    return click.option(
        "--host",
        type=_OneHost(),
        default="local",
        show_default=True,
        metavar=HOST_METAVAR,
        help="The device: this machine, or another one by SSH.",
    )


def ssh_config_option() -> _Decorator[Any]:
    """``-F``, as of ssh."""
    return click.option(
        "-F",
        "--ssh-config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="SSH configuration to use instead of the usual ones, as with ssh -F.",
    )


def accept_new_host_key_option() -> _Decorator[Any]:
    """``--accept-new-host-key``; the command gets whom to tell of one, or None."""

    def announcer(
        ctx: click.Context, param: click.Parameter, value: bool
    ) -> Callable[[str], None] | None:
        return _announce if value else None

    return click.option(
        "--accept-new-host-key",
        "on_new_host_key",
        is_flag=True,
        callback=announcer,
        help="Trust a device that known_hosts does not know, and add its key there, as ssh does "
        "with StrictHostKeyChecking=accept-new. A changed key is refused nevertheless.",
    )


def _announce(message: str) -> None:
    click.echo(message, err=True)
