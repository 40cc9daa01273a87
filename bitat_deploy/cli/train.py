"""``bitat-deploy train``: a recipe to a checkpoint."""

from pathlib import Path

import click
from rich.console import Console

from bitat_deploy import api
from bitat_deploy.cli.options import examples
from bitat_deploy.cli.output import say


@click.command(epilog=examples("bitat-deploy train --recipe fashion-mnist-mobilenet"))
@click.option("--recipe", "name", help="Name of a recipe, or path of a .yaml file.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder with the data set's files; otherwise found or downloaded.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for checkpoint and report.  [default: runs/RECIPE]",
)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a recipe value.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.")
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between checkpoints: the most work that a killed run loses.",
)
@click.option("--list", "list_recipes", is_flag=True, help="List the recipes and stop.")
def train(
    name: str | None,
    data: Path | None,
    output: Path | None,
    changes: tuple[str, ...],
    threads: int | None,
    checkpoint_every: float,
    list_recipes: bool,
) -> None:
    """Train a binarized network from a recipe.

    To resume a stopped run, give the same command again.
    """
    api.prepare_torch("training")
    from bitat_deploy.training import ConsoleProgress, recipe_table

    if list_recipes:
        Console().print(recipe_table())
        return
    if name is None:
        raise click.UsageError("Missing option '--recipe'; --list shows the recipes.")
    with ConsoleProgress(Console()) as progress:
        trained = api.train(
            name,
            data,
            output,
            changes=changes,
            checkpoint_seconds=checkpoint_every,
            threads=threads,
            progress=progress,
        )
    state = trained.checkpoint
    if state.result is not None:
        say(
            f"top-1 {state.top1:.4f} on {state.test_images} test images "
            f"({state.result['evaluation']} evaluation), {state.elapsed:.0f} s of training; "
            f"{trained.file}"
        )
