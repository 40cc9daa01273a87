"""The command group, and the one place where errors become messages and exit codes."""

import contextlib
import errno
import importlib
import io
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from bitat_deploy.cli.output import LONGEST_LINE, say
from bitat_deploy.cli.project_file import read_project
from bitat_deploy.errors import BitatDeployError, BuildError, InputError
from bitat_deploy.host_system import check_host_system
from bitat_deploy.plain_text import foreign_text
from bitat_deploy.version import __version__

_COMMANDS = {
    "build": "Compile a network for a target and write a bundle.",
    "bench": "Measure latency and accuracy of a bundle on a device.",
    "tune": "Find the fastest code for each layer on a device.",
    "run": "Classify your own images on a device.",
    "doctor": "Check a device for what would prevent or distort a bench.",
    "clean": "Remove what benches left on a device.",
    "compare": "Show what changed between two reports of bench.",
    "targets": "List what a network can be built for.",
    "sdk": "Write what programs in C and C++ are built with.",
    "init": "Write bitat.yaml, so that build and bench need no arguments.",
    "train": "Train a low-bit network on a folder of photos or from a recipe.",
    "quantize": "Quantize a trained network to few bits, on photos without labels.",
    "explore": "Find the best network for your pictures, board and budget.",
    "export": "Export a checkpoint to an ONNX file.",
}


class _LazyGroup(click.Group):
    """Imports a command when it is used: ``--help`` and ``bench`` load neither torch nor TVM."""

    def make_context(self, *arguments: Any, **keywords: Any) -> click.Context:
        with _shown_safely():
            return super().make_context(*arguments, **keywords)

    def invoke(self, ctx: click.Context) -> Any:
        with _shown_safely():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"bitat_deploy.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@contextlib.contextmanager
def _shown_safely() -> Iterator[None]:
    """click's messages quote what was typed, and what a shell found for its * and ?."""
    try:
        yield
    except click.UsageError as error:
        if type(error).show is not click.UsageError.show:  # such as help, without arguments
            raise
        message = foreign_text(error.format_message(), LONGEST_LINE)
        raise click.UsageError(message, error.ctx) from error


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bitat-deploy")
@click.pass_context
def cli(context: click.Context) -> None:
    """From a low-bit MobileNet in PyTorch to a measurement on a Raspberry Pi.

    \b
      bitat-deploy build --target rpi4
      bitat-deploy bench --host pi@device

    In a folder with a bitat.yaml (see init), both need no arguments.
    """
    context.default_map = read_project().default_map()


def main() -> None:
    """Run the command line; an error of ours, or of the file system, is one line and a code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the locale cannot write is a "?"
            stream.reconfigure(errors="replace")
    try:
        check_host_system()
        cli.main(prog_name="bitat-deploy")
    except BitatDeployError as error:
        end_with(error)
    except OSError as error:
        end_with(as_our_error(error))


def end_with(error: BitatDeployError) -> NoReturn:
    """Print the error and end the program with its exit code."""
    say(f"Error: {error}", err=True)
    sys.exit(error.exit_code)


def as_our_error(error: OSError) -> BitatDeployError:
    """The message for what the file system refused; raises ``error`` if it names no file."""
    file = error.filename2 or error.filename
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" at '{file}'" if file else ""
        return BuildError(
            f"this machine's disk is full{where}; make room, or set XDG_CACHE_HOME or TMPDIR to a "
            "folder on a larger one"
        )
    if file is None:
        raise error
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return BuildError(
            f"'{file}' cannot be read or written ({error.strerror}); change its owner or "
            "mode, or set HOME, XDG_CACHE_HOME, XDG_DATA_HOME or TMPDIR to a folder of yours"
        )
    return InputError(f"'{file}' cannot be used ({error.strerror}); check the path")
