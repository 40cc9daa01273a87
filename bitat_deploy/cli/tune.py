"""``bitat-deploy tune``: find the fastest schedule of each layer on a board."""

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bitat_deploy import api
from bitat_deploy.bounded_process import Limits
from bitat_deploy.cli.model import foreign_options
from bitat_deploy.cli.options import Connect, examples, ssh_options
from bitat_deploy.cli.output import say
from bitat_deploy.network import Preprocessing
from bitat_deploy.plain_text import foreign_text
from bitat_deploy.report import tuning_table
from bitat_deploy.target import load_target
from bitat_deploy.tuning import MOST_JOBS, Effort, TuneOptions, default_jobs
from bitat_deploy.zoo import DEFAULT_MODEL


@click.command(
    epilog=examples(
        "bitat-deploy tune --target rpi4 --host pi@device",
        "bitat-deploy tune model.onnx --target rpi4 --host pi@one --host pi@two --trials 64",
        "bitat-deploy tune --target rpi4 --host model",
    )
)
@click.argument("model", default=DEFAULT_MODEL)
@click.option(
    "--target",
    "target_name",
    default="host",
    show_default=True,
    metavar="NAME|FILE",
    help="What to tune for: a name that 'bitat-deploy targets' lists, or your own .yaml file.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    default=("local",),
    show_default=True,
    metavar="local|model|USER@HOST[:PORT]",
    help="Where to measure: this machine, or another one by SSH; several share the work. "
    "'model' computes cycles instead, without any device.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=TuneOptions.trials,
    show_default=True,
    help="Candidates to try at most, for each distinct layer.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, MOST_JOBS),
    default=default_jobs,
    show_default="one for each core",
    help="Processes that build candidates on this machine.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the search.")
@click.option("--again", is_flag=True, help="Also measure what the records already have.")
@click.option(
    "--force",
    is_flag=True,
    help="Also measure on a device whose condition makes its times worthless.",
)
@click.option(
    "--max-noise",
    type=click.FloatRange(min=0, min_open=True),
    default=Effort.most_noise,
    show_default=True,
    help="Measure a batch again where the default schedule's time changed by a larger share.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=Effort.timeout_ms / 1000,
    show_default=True,
    help="Seconds after which a candidate on the device counts as hung.",
)
@click.option(
    "--records",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to add to.  [default: your own, which build reads]",
)
@foreign_options
@ssh_options()
def tune(
    model: str,
    target_name: str,
    hosts: tuple[str, ...],
    trials: int,
    jobs: int,
    seed: int,
    again: bool,
    force: bool,
    max_noise: float,
    timeout: float,
    records: Path | None,
    preprocessing: Preprocessing | None,
    input_shape: tuple[int, ...] | None,
    limits: Limits,
    connect: Connect,
) -> None:
    """Find the fastest schedule of each layer of MODEL on a device; later builds use it.

    Candidates are built on this machine, checked and timed on the device over one SSH connection.
    Results are recorded at once: an interrupted run continues where it stopped.
    """
    target = load_target(target_name)
    effort = Effort(most_noise=max_noise, timeout_ms=round(timeout * 1000))
    options = TuneOptions(trials, jobs, seed, again, force, effort)
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(stage: str, done: int, total: int) -> None:
            if total:
                bar.update(task, description=foreign_text(stage, 60), completed=done, total=total)
                return
            bar.update(task, description=foreign_text(stage))
            if not console.is_terminal:
                say(f"{stage} ...", err=True)

        tuned = api.tune(
            model,
            target,
            hosts,
            options,
            records=records,
            preprocessing=preprocessing,
            input_shape=input_shape,
            limits=limits,
            connect=lambda host: connect(host, bar),
            progress=show,
        )
    Console().print(tuning_table(tuned.summaries))
    for host, error in tuned.failed.items():
        say(f"Warning: '{host}' dropped out, the others did its share: {error}", err=True)
    say(_summary(tuned.candidates, tuned.resumed, tuned.unsteady))
    if tuned.modelled:
        say(f"Cycles are modelled, not measured: {tuned.modelled}.")
    say(f"Records: {tuned.log.path}")


def _summary(candidates: int, resumed: int, unsteady: int) -> str:
    parts = [f"{candidates} candidates tried"]
    if resumed:
        parts.append(f"{resumed} known from earlier runs")
    if unsteady:
        parts.append(
            f"{unsteady} not recorded, as the device was not steady (see --max-noise, and doctor)"
        )
    return "; ".join(parts) + "."
