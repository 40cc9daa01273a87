"""``bitat-deploy train``: photos or a recipe to a checkpoint."""

import shlex
from pathlib import Path

import click
from rich.console import Console

from bitat_deploy import api
from bitat_deploy.cli.options import examples
from bitat_deploy.cli.output import say
from bitat_deploy.plain_text import foreign_lines

_OF_FOLDERS = ("group", "bits", "init")


@click.command(
    epilog=examples(
        "bitat-deploy train photos/",
        "bitat-deploy train photos/ --group '^[0-9]+' --bits w2a2",
        "bitat-deploy train --recipe fashion-mnist-mobilenet",
    )
)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--recipe", "name", help="Name of a recipe, or path of a .yaml file.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder with the files of the recipe's data set; otherwise found or downloaded.",
)
@click.option(
    "--group",
    metavar="PATTERN",
    help="With FOLDER: photos of a class stay together, all for training or all for testing, if "
    "this regular expression (its first group) matches the same text in their file names.",
)
@click.option(
    "--bits",
    type=click.Choice(("w1a1", "w1a2", "w2a2", "w4a4"), case_sensitive=False),
    help="With FOLDER: bits of weights (w) and activations (a); fewer are faster.  [default: w1a2]",
)
@click.option(
    "--init",
    metavar="NAME|PATH",
    help="With FOLDER: start from a network of the zoo, the checkpoint of a run in full "
    "precision, or a saved state_dict of torchvision's mobilenet_v2.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for checkpoint, report and recipe.  [default: runs/RECIPE or runs/FOLDER]",
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
@click.option("--keys", is_flag=True, help="Explain every key of a recipe and stop.")
@click.option("--show", metavar="NAME", help="Print a recipe and its path, and stop.")
def train(
    folder: Path | None,
    name: str | None,
    data: Path | None,
    group: str | None,
    bits: str | None,
    init: str | None,
    output: Path | None,
    changes: tuple[str, ...],
    threads: int | None,
    checkpoint_every: float,
    list_recipes: bool,
    keys: bool,
    show: str | None,
) -> None:
    """Train a low-bit network on the photos in FOLDER, or from a recipe.

    FOLDER holds the classes, CLASS/*.jpg, or train/CLASS/*.jpg and test/CLASS/*.jpg. A recipe is
    chosen for it, explained, and left as recipe.yaml in the run's folder, to be changed and given
    with --recipe. With --recipe, FOLDER is the same as --data.

    To resume a stopped run, give the same command again.
    """
    api.prepare_torch("training")
    from bitat_deploy.training import ConsoleProgress, recipe_file, recipe_keys, recipe_table

    if list_recipes:
        Console().print(recipe_table())
        return
    if keys:
        click.echo(recipe_keys(), nl=False)
        return
    if show is not None:
        path = recipe_file(show)
        text = path.read_text("utf-8", errors="replace")
        say(f"# {path}")
        say("# bitat-deploy train --keys says what each key does.")
        click.echo(foreign_lines(text), nl=False)
        return
    if folder is not None and data is not None:
        raise click.UsageError("FOLDER and --data are the same; give one of them.")
    data = data or folder
    if name is None:
        if folder is None:
            raise click.UsageError(
                "Give a folder of photos, or a recipe with --recipe; --list shows the recipes."
            )
        plan = api.plan_training(folder, group=group, bits=bits, init=init, changes=changes)
        for reason in plan.reasons:
            say(f"- {reason}")
        output = output or Path("runs") / plan.recipe.name
    else:
        for option, value in zip(_OF_FOLDERS, (group, bits, init), strict=True):
            if value is not None:
                raise click.UsageError(
                    f"--{option} is for a folder without a recipe; change the recipe with --set."
                )
    with ConsoleProgress(Console()) as progress:
        trained = api.train(
            plan if name is None else name,
            data,
            output,
            changes=() if name is None else changes,
            checkpoint_seconds=checkpoint_every,
            threads=threads,
            progress=progress,
        )
    for line in _summary(trained, data):
        say(line)


def _summary(trained: api.TrainedNetwork, data: Path | None) -> list[str]:
    """What came out, and the command that follows, to be pasted; of the main process alone."""
    state, file = trained.checkpoint, shlex.quote(str(trained.file))
    result = state.result
    if result is None:
        return []
    twin = result.get("twin_top1")
    in_full = "" if twin is None else f" (in full precision {twin:.4f})"
    lines = [
        f"top-1 {state.top1:.4f}{in_full} on {state.test_images} test images "
        f"({result['evaluation']} evaluation), {state.elapsed:.0f} s of training; {trained.file}"
    ]
    given = "" if data is None else f" --data {shlex.quote(str(data))}"
    if not state.recipe.sections.exports:
        here = given or " --data PHOTOS"
        return [*lines, f"Next: bitat-deploy quantize {file}{here} --weights 2 --activations 4"]
    if "why_float" in result:
        return [*lines, f"It cannot be exported: {result['why_float']}"]
    return [
        *lines,
        f"Next: bitat-deploy build {file} --target host && bitat-deploy bench{given}",
        "For a Raspberry Pi 4, build with --target rpi4 and bench with --host pi@NAME.",
    ]
