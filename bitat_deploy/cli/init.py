"""``bitat-deploy init``: a project file for this folder."""

import click

from bitat_deploy.cli.options import examples
from bitat_deploy.cli.project_file import PROJECT_FILE, Project, write_project
from bitat_deploy.target import load_target
from bitat_deploy.zoo import DEFAULT_MODEL, resolve_model


@click.command(epilog=examples("bitat-deploy init --target rpi4 --host pi@device"))
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="As for build.")
@click.option(
    "--target", default="rpi4", show_default=True, metavar="NAME|FILE", help="As for build."
)
@click.option("--host", metavar="local|USER@HOST[:PORT]", help="As for bench.")
@click.option("--data", help="As for bench.")
def init(model: str, target: str, host: str | None, data: str | None) -> None:
    """Write bitat.yaml, so that build and bench need no arguments in this folder."""
    resolve_model(model)
    load_target(target)
    write_project(Project(model, target, host, data))
    click.echo(f"{PROJECT_FILE} written. Next: bitat-deploy build && bitat-deploy bench")
