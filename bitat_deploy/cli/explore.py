"""``bitat-deploy explore``: which network for my board, my pictures and my budget."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bitat_deploy import api
from bitat_deploy.cli.options import HOST_METAVAR, Connect, examples, ssh_options
from bitat_deploy.cli.output import say
from bitat_deploy.errors import InputError
from bitat_deploy.exploration import Budget, ExploreOptions, exploration_report
from bitat_deploy.plain_text import foreign_text
from bitat_deploy.report import terminal_page
from bitat_deploy.target import load_target
from bitat_deploy.tuning import MOST_JOBS, default_jobs

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ]*)")


class _Quantity(click.ParamType):
    """A number with a unit: the value in the smallest of ``units``, of which one is the usual."""

    def __init__(self, name: str, units: dict[str, float], usual: str) -> None:
        self.name = name
        self._units, self._usual = units, usual

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        match = _QUANTITY.fullmatch(str(value).strip())
        unit = match[2] or self._usual if match else ""
        if match is None or unit not in self._units or float(match[1]) <= 0:
            known = ", ".join(self._units)
            self.fail(f"'{value}' is no number above 0 with one of the units {known}", param, ctx)
        return float(match[1]) * self._units[unit]


_MILLISECONDS = _Quantity("time", {"us": 1e-3, "ms": 1.0, "s": 1e3}, "ms")
_SECONDS = _Quantity("time", {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}, "s")
_BYTES = _Quantity(
    "size", {"B": 1, "kB": 1e3, "KB": 1e3, "KiB": 2**10, "MB": 1e6, "MiB": 2**20, "GB": 1e9}, "B"
)


@click.command(
    epilog=examples(
        "bitat-deploy explore --data photos/ --target rpi4 --budget 5ms",
        "bitat-deploy explore --data photos/ --host pi@device --budget 5ms --time 2h",
    )
)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of photos: CLASS/PHOTO, or train/CLASS/PHOTO and test/CLASS/PHOTO.",
)
@click.option(
    "--target",
    "target_name",
    metavar="NAME|FILE",
    help="As for build. Without --host its latencies are modelled.  [default: rpi4, or what fits "
    "the first host]",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar=HOST_METAVAR,
    help="Measure latencies on this device. Several of one kind share the work.",
)
@click.option(
    "--baseline/--no-baseline",
    default=True,
    show_default=True,
    help="With --host, also measure each shape in ONNX Runtime, in int8 and float32.",
)
@click.option(
    "--budget", type=_MILLISECONDS, metavar="TIME", help="Maximum time for one photo, such as 5ms."
)
@click.option("--budget-memory", type=_BYTES, metavar="SIZE", help="Maximum memory, such as 2MB.")
@click.option(
    "--budget-size", type=_BYTES, metavar="SIZE", help="Maximum size of the model, such as 200kB."
)
@click.option(
    "--candidates",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file of the networks to try.  [default: bitat-deploy's own; docs/choosing.md]",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, MOST_JOBS),
    default=default_jobs,
    show_default="one for each core",
    help="Networks to train at the same time.",
)
@click.option(
    "--time",
    "seconds",
    type=_SECONDS,
    metavar="TIME",
    help="Maximum time for everything, such as 2h: epochs are chosen to fit.  [default: as long as "
    "the candidates file says]",
)
@click.option(
    "--storage",
    metavar="URL",
    help="Database of the trials, which several machines may share.  [default: SQLite in OUTPUT]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("exploration"),
    show_default=True,
    help="Folder for all runs, the report and the recommended network.",
)
@ssh_options()
def explore(
    data: Path,
    target_name: str | None,
    hosts: tuple[str, ...],
    baseline: bool,
    budget: float | None,
    budget_memory: float | None,
    budget_size: float | None,
    candidates: Path | None,
    jobs: int,
    seconds: float | None,
    storage: str | None,
    output: Path,
    connect: Connect,
) -> None:
    """Find the best network for your photos, your board and your budget.

    Many networks of several shapes, widths and numbers of bits are costed first, by the cycle
    model or on your board; what the budget allows is trained briefly, the better half of it longer,
    and so on. The result is a recommendation, a table, a page with a picture of accuracy against
    latency, and the recommended network: recipe, checkpoint, ONNX file and bundle.

    To go on after Ctrl-C, a kill or the end of --time, give the same command again.
    """
    if len(set(hosts)) < len(hosts):
        raise InputError("--host names a device twice; remove one")
    if target_name is None and not hosts:
        target_name = "rpi4"
    options = ExploreOptions(
        data,
        output,
        None if target_name is None else load_target(target_name),
        hosts,
        Budget(budget, budget_memory, budget_size),
        candidates,
        jobs,
        seconds,
        storage,
        baseline,
    )
    command = shlex.join(["bitat-deploy", *sys.argv[1:]])
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left about"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=600) as bar:
        task = bar.add_task("starting", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(
                task, description=foreign_text(what, 60), completed=done, total=total or None
            )
            if not console.is_terminal:
                say(what, err=True)

        try:
            explored = api.explore(
                options, command=command, connect=lambda host: connect(host, bar), progress=show
            )
        except KeyboardInterrupt:
            raise InterruptedExplorationError(
                f"stopped; all that was found is in '{output}': the same command goes on"
            ) from None
    Console().print(terminal_page(exploration_report(explored.document)))
    say(f"Page: {explored.folder / 'report.html'}")
    say(f"Recommended network: {explored.recommended}")
    say(explored.sentence, bold=True)


class InterruptedExplorationError(InputError):
    """Ctrl-C."""

    exit_code = 130
