"""``bitat-deploy run``: classify the user's own images on a device."""

from pathlib import Path

import click
from rich.console import Console

from bitat_deploy import api
from bitat_deploy.bundle import last_build, read_bundle
from bitat_deploy.cli.options import (
    Connect,
    examples,
    host_option,
    ssh_options,
)
from bitat_deploy.cli.output import say, shown
from bitat_deploy.errors import InputError
from bitat_deploy.report import top_classes_table


@click.command(
    epilog=examples(
        "bitat-deploy run --host pi@device --image shoe.png",
        "bitat-deploy run path/to/bundle --host pi@device --image shoe.png shirt.jpg",
    )
)
@click.argument("paths", metavar="[BUNDLE] [FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--image",
    "images",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A picture; more may follow it, with or without --image.",
)
@host_option()
@ssh_options()
def run(
    paths: tuple[Path, ...],
    images: tuple[Path, ...],
    host: str,
    connect: Connect,
) -> None:
    """Show the five most likely classes of each picture FILE, computed on a device.

    BUNDLE is a folder; without it, the last build is used. A picture may have any size and common
    format; it is cropped and resized as the bundle records, which 'build' shows, just as bench and
    the device library do. It should look like the images that the network was trained on: for
    Fashion-MNIST one garment, bright on black.
    """
    if paths and not paths[0].exists():
        raise InputError(f"there is no bundle or picture '{paths[0]}'")
    has_bundle = bool(paths) and paths[0].is_dir()
    pictures = images + (paths[1:] if has_bundle else paths)
    if not pictures:
        raise click.UsageError("Missing a picture: give at least one with --image FILE.")
    bundle = read_bundle(paths[0] if has_bundle else last_build())
    console = Console(stderr=True)
    with (
        console.status(shown(f"connecting to {host}")) as status,
        connect(host, status) as connection,
    ):
        logits = api.run(
            bundle,
            pictures,
            connection,
            progress=lambda stage, done, total: status.update(shown(stage)),
        )
    for path, row in zip(pictures, logits, strict=True):
        say(str(path), bold=True)
        Console().print(top_classes_table(row, bundle.manifest.model.class_names))
