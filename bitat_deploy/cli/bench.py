"""``bitat-deploy bench``: measure a bundle on a device."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from bitat_deploy import api
from bitat_deploy.cli.bench_reports import (
    check_outputs,
    check_report_folders,
    raise_first,
    show_reports,
    show_table,
    write_to_folders,
)
from bitat_deploy.cli.inventory import choose_boards
from bitat_deploy.cli.options import (
    HOST_METAVAR,
    Connect,
    examples,
    ssh_options,
)
from bitat_deploy.cli.output import say
from bitat_deploy.device import BenchOptions, BenchResult, Board, Outcome
from bitat_deploy.plain_text import foreign_text

PROFILE_RUNS = 100


@click.command(
    epilog=examples(
        "bitat-deploy bench --host pi@device --html report.html",
        "bitat-deploy bench --host pi@kitchen --host pi@garage --json report.json",
        "bitat-deploy bench --host pi@device --profile",
        "bitat-deploy bench --zoo --host pi@device --json reports/",
    )
)
@click.argument("bundle", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--host",
    "hosts",
    multiple=True,
    default=("local",),
    show_default=True,
    metavar=HOST_METAVAR,
    help="The device: this machine, or another one by SSH. Several are measured at the same time.",
)
@click.option(
    "--inventory",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Instead of --host: a YAML list of hosts, or of mappings with host, name and bundle.",
)
@ssh_options()
@click.option(
    "--json",
    "json_file",
    metavar="FILE|-",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Also write the report to this file, as JSON; '-' is standard output.",
)
@click.option(
    "--markdown",
    "markdown_file",
    metavar="FILE|-",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Also write it as Markdown.",
)
@click.option(
    "--html",
    "html_file",
    metavar="FILE|-",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Also write it as a page with charts, one file that opens offline.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder or archive of the data set, or of CLASS/IMAGE.  [default: Fashion-MNIST, found or "
    "downloaded once, for networks that were trained on it; for others drawn pictures, which give "
    "latency and no accuracy]",
)
@click.option(
    "--classes",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Text file with the names of the network's classes, one a line, in the order of its "
    "outputs, by which the folders of --data are found.  [default: those in the bundle]",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    help="Use only the first N test images.  [default: all]",
)
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Worker threads."
)
@click.option(
    "--warmup",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Runs before measuring.",
)
@click.option(
    "--min-runs",
    type=click.IntRange(1, 100000),
    default=50,
    show_default=True,
    help="Measure at least this many runs.",
)
@click.option(
    "--min-seconds",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="Measure at least this long.",
)
@click.option(
    "--mlperf",
    is_flag=True,
    help="Measure by MLPerf's single-stream rule: at least 1,024 runs and 60 seconds, of which "
    "the 90th percentile is reported. This alone does not make an MLPerf submission.",
)
@click.option("--profile", is_flag=True, help="Afterwards, also time each layer separately.")
@click.option(
    "--baseline",
    is_flag=True,
    help="Afterwards, also measure float32 and int8 twins of the network in ONNX Runtime.",
)
@click.option(
    "--baseline-run",
    "baseline_runs",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="With --baseline: folder of a training run of such a twin, in full precision or 8 bits, "
    "whose test accuracy is shown.",
)
@click.option(
    "--zoo",
    is_flag=True,
    help="Instead of a bundle: build and measure all networks of the zoo, with --baseline. "
    "--json, --markdown and --html then name a folder of reports.",
)
@click.option(
    "--target",
    "target_name",
    metavar="NAME|FILE",
    help="What to build the zoo's networks for.  [default: the target that fits the device best]",
)
def bench(
    bundle: Path | None,
    hosts: tuple[str, ...],
    inventory: Path | None,
    connect: Connect,
    json_file: Path | None,
    markdown_file: Path | None,
    html_file: Path | None,
    data: Path | None,
    classes: Path | None,
    images: int | None,
    threads: int,
    warmup: int,
    min_runs: int,
    min_seconds: float,
    mlperf: bool,
    profile: bool,
    baseline: bool,
    baseline_runs: tuple[Path, ...],
    zoo: bool,
    target_name: str | None,
) -> None:
    """Measure latency and accuracy of BUNDLE on a device. The default BUNDLE is the last build.

    Pushes the files that the device lacks, verifies them there, runs the network and prints a
    report. Nothing is installed on the device.

    Several boards are measured at the same time and shown in one table; if one fails, the others
    go on. Each gets its own report files: report.json becomes report.NAME.json. With --json - the
    JSON documents follow each other on standard output, and all else goes to standard error.
    """
    boards = choose_boards(hosts, inventory)
    if mlperf:
        _refuse_another_length()
    if baseline_runs and not baseline:
        raise click.UsageError("--baseline-run belongs to --baseline; add it.")
    given = {"--json": json_file, "--markdown": markdown_file, "--html": html_file}
    outputs = {option: path for option, path in given.items() if path is not None}
    if zoo:
        _check_zoo(boards, bundle, outputs)
    elif target_name is not None:
        raise click.UsageError("--target goes with --zoo; a bundle was built for its target.")
    else:
        check_outputs(outputs)
    options = BenchOptions(
        threads, warmup, min_runs, min_seconds, profile_runs=PROFILE_RUNS if profile else 0
    )
    if mlperf:
        options = options.single_stream()
    if zoo:
        _bench_zoo(boards[0].host, target_name, data, images, options, connect, outputs)
        return
    with _bar() as bar:
        tasks = {board: bar.add_task("starting", total=None) for board in boards}
        names = {board: f"{board.name}: " if len(boards) > 1 else "" for board in boards}

        def show(board: Board, stage: str, done: int, total: int) -> None:
            description = foreign_text(names[board] + stage)
            bar.update(tasks[board], description=description, completed=done, total=total or None)

        outcomes = api.bench_boards(
            boards,
            bundle,
            data=data,
            images=images,
            class_names=() if classes is None else api.read_class_names(classes),
            options=options,
            baseline=baseline,
            baseline_runs=baseline_runs,
            connect=lambda host: connect(host, bar),
            progress=show,
        )
    show_reports(outcomes, outputs)
    raise_first(outcomes)


def _bar() -> Progress:
    text = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), text, BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _check_zoo(boards: Sequence[Board], bundle: Path | None, outputs: Mapping[str, Path]) -> None:
    if bundle is not None or boards[0].bundle is not None:
        raise click.UsageError("--zoo takes no bundle: it builds the zoo's networks.")
    if len(boards) > 1:
        raise click.UsageError("--zoo measures one board at a time.")
    check_report_folders(outputs)


def _bench_zoo(
    host: str,
    target: str | None,
    data: Path | None,
    images: int | None,
    options: BenchOptions,
    connect: Connect,
    outputs: Mapping[str, Path],
) -> None:
    """Measure the zoo's networks, and write the reports of each as soon as they are there."""
    outcomes: list[Outcome[BenchResult]] = []
    with _bar() as bar:
        task = bar.add_task("starting", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=foreign_text(stage), completed=done, total=total or None)

        for name, result in api.bench_zoo(
            host,
            target,
            data=data,
            images=images,
            options=options,
            connect=lambda name: connect(name, bar),
            progress=show,
        ):
            outcomes.append(Outcome(Board(host, name), result, None))
            write_to_folders(outcomes[-1], outputs)
    show_table(outcomes)
    for folder in outputs.values():
        say(f"Reports: {folder}")
    for outcome in outcomes:
        raise_first([outcome])


def _refuse_another_length() -> None:
    for name in ("min_runs", "min_seconds"):
        source = click.get_current_context().get_parameter_source(name)
        if source is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--mlperf fixes the number and time of runs; leave out --{name.replace('_', '-')}"
            )
