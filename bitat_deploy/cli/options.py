"""Options that several commands share."""

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from bitat_deploy.cli.log import device_log
from bitat_deploy.cli.output import say
from bitat_deploy.errors import InputError

if TYPE_CHECKING:
    from bitat_deploy.device import Connection

HOST_METAVAR = "local|USER@HOST[:PORT]"

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[_Command], _Command]


class _OneHost(click.ParamType):
    """Text; bitat.yaml may list several hosts, but this command takes one."""

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


class Connect(Protocol):
    """Opens the connection to a device with the user's SSH options."""

    def __call__(self, host: str, display: "Display | None" = None) -> "Connection":
        """``display`` is stopped while ssh asks for a password. See device.connect."""


class Display(Protocol):
    """Something that draws on the terminal until it is stopped: rich's Progress and Status."""

    def start(self) -> None:
        """Start drawing."""

    def stop(self) -> None:
        """Stop drawing."""


def ssh_options() -> _Decorator[Any]:
    """How to reach a device, our folder there, and the log; the command gets ``connect``."""
    options = (
        click.option(
            "-F",
            "--ssh-config",
            type=click.Path(path_type=Path, dir_okay=False),
            help="SSH configuration to use instead of the usual ones, as with ssh -F.",
        ),
        click.option(
            "--accept-new-host-key",
            is_flag=True,
            help="Trust a device that known_hosts does not know, and add its key there, as ssh "
            "does with StrictHostKeyChecking=accept-new. A changed key is still refused.",
        ),
        click.option(
            "--transport",
            type=click.Choice(("openssh", "paramiko")),
            help="How to use SSH: OpenSSH's program ssh, or paramiko, which needs no program but "
            "supports only plain configurations.  [default: openssh if ssh is installed]",
        ),
        click.option(
            "--device-folder",
            metavar="PATH",
            default="",
            help="Keep files on the device in PATH/bitat-deploy, where its home cannot be written "
            "or programs cannot be started in it.  [default: the cache folder, ~/.cache]",
        ),
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            help="Show each command that runs on a device, and all of a report.",
        ),
        click.option(
            "--log",
            "log_file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Write each command that runs on a device to this file.",
        ),
    )

    def decorate(command: _Command) -> Any:
        @functools.wraps(command)
        def with_connect(
            *arguments: Any,
            ssh_config: Path | None,
            accept_new_host_key: bool,
            transport: str | None,
            device_folder: str,
            verbose: bool,
            log_file: Path | None,
            **keywords: Any,
        ) -> Any:
            def connect(host: str, display: Display | None = None) -> "Connection":
                from bitat_deploy import device  # loads slowly

                return device.connect(
                    host,
                    ssh_config,
                    _announce if accept_new_host_key else None,
                    transport=transport,
                    prompting=functools.partial(_prompting, display) if _at_terminal() else None,
                    folder=device_folder,
                )

            with device_log(verbose, log_file):
                return command(*arguments, connect=connect, **keywords)

        return functools.reduce(lambda made, option: option(made), reversed(options), with_connect)

    return decorate


_one_prompt_at_a_time = threading.Lock()


@contextlib.contextmanager
def _prompting(display: Display | None) -> Iterator[None]:
    """Leave the terminal to ssh, which asks for a password there."""
    with _one_prompt_at_a_time:
        if display is not None:
            display.stop()
        try:
            yield
        finally:
            if display is not None:
                display.start()


def _at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _announce(message: str) -> None:
    say(message, err=True)
