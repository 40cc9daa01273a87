"""``bitat-deploy sdk``: what users build their own programs with."""

from pathlib import Path

import click
from rich.console import Console

from bitat_deploy import api
from bitat_deploy.cli.options import examples
from bitat_deploy.cli.output import say, shown
from bitat_deploy.target import load_target


@click.command(epilog=examples("bitat-deploy sdk --target rpi4 -o sdk"))
@click.option(
    "--target",
    "target_name",
    default="host",
    show_default=True,
    metavar="NAME|FILE",
    help="What programs are to run on: a name that 'bitat-deploy targets' lists, or your own "
    ".yaml file.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("sdk"),
    show_default=True,
    help="The folder to write.",
)
def sdk(target_name: str, output: Path) -> None:
    """Write the device library with its headers, for programs of your own in C and C++.

    The folder has what CMake and pkg-config look for, and an example that classifies a camera's
    pictures. A program opens any bundle for the target, with frames of any size; for a target
    without shared libraries, such as rpi-32bit, the library and one network are compiled into it.
    """
    target = load_target(target_name)
    console = Console(stderr=True)
    with console.status("starting") as status:
        files = api.sdk(target, output, lambda stage, done, total: status.update(shown(stage)))
    say(f"{output}: the device library for {target.architecture}, {len(files)} files")
    say(f"Next: cmake -S {output}/example -B app -DBUNDLE=path/to/bundle && cmake --build app")
