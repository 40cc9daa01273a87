"""``bitat-deploy bench``: measure a bundle on a device."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from bitat_deploy import api
from bitat_deploy.cli.inventory import board_file, choose_boards
from bitat_deploy.cli.options import (
    HOST_METAVAR,
    Connect,
    examples,
    ssh_options,
)
from bitat_deploy.cli.output import say
from bitat_deploy.device import BenchOptions, BenchResult, Board, Outcome
from bitat_deploy.errors import WrongAnswerError
from bitat_deploy.plain_text import foreign_text
from bitat_deploy.report import (
    bench_document,
    board_table,
    check_writable,
    html_report,
    json_report,
    markdown_report,
    mistake_pictures,
    terminal_report,
    write_file,
)

PROFILE_RUNS = 100

_FORMATS: dict[str, Callable[[dict[str, Any], BenchResult], str]] = {
    "--json": lambda document, result: json_report(document),
    "--markdown": lambda document, result: markdown_report(document),
    "--html": lambda document, result: html_report(document, mistake_pictures(result)),
}
_STANDARD_OUTPUT = Path("-")


@click.command(
    epilog=examples(
        "bitat-deploy bench --host pi@device --html report.html",
        "bitat-deploy bench --host pi@kitchen --host pi@garage --json report.json",
        "bitat-deploy bench --host pi@device --profile",
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
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Also write the report to this file, as JSON; '-' is standard output.",
)
@click.option(
    "--markdown",
    "markdown_file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Also write it as Markdown.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Also write it as a page with charts, one file that opens offline.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder or archive of the data set, or of CLASS/IMAGE.  [default: the data set that the "
    "network was trained on, found or downloaded once; where it names none, drawn pictures, which "
    "give latency and no accuracy]",
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
def bench(
    bundle: Path | None,
    hosts: tuple[str, ...],
    inventory: Path | None,
    connect: Connect,
    json_file: Path | None,
    markdown_file: Path | None,
    html_file: Path | None,
    data: Path | None,
    images: int | None,
    threads: int,
    warmup: int,
    min_runs: int,
    min_seconds: float,
    mlperf: bool,
    profile: bool,
    baseline: bool,
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
    given = {"--json": json_file, "--markdown": markdown_file, "--html": html_file}
    outputs = {option: path for option, path in given.items() if path is not None}
    _check_outputs(outputs)
    options = BenchOptions(
        threads, warmup, min_runs, min_seconds, profile_runs=PROFILE_RUNS if profile else 0
    )
    if mlperf:
        options = options.single_stream()
    text = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), text, BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
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
            options=options,
            baseline=baseline,
            connect=lambda host: connect(host, bar),
            progress=show,
        )
    _show(outcomes, outputs)
    _raise_first(outcomes)


def _check_outputs(outputs: Mapping[str, Path]) -> None:
    for option, path in outputs.items():
        if path != _STANDARD_OUTPUT:
            check_writable(path, option)
    if list(outputs.values()).count(_STANDARD_OUTPUT) > 1:
        raise click.UsageError("Only one of --json, --markdown and --html can be '-'.")


def _show(outcomes: Sequence[Outcome[BenchResult]], outputs: Mapping[str, Path]) -> None:
    """Print and write the reports; where one is for standard output, nothing else goes there."""
    console = Console(stderr=_STANDARD_OUTPUT in outputs.values())
    verbose = bool(click.get_current_context().params["verbose"])
    command = shlex.join(["bitat-deploy", *sys.argv[1:]])
    documents = [
        (one, bench_document(one.result, command) if one.result else one.error) for one in outcomes
    ]
    if len(documents) > 1:
        console.print(board_table([(one.board.name, document) for one, document in documents]))
    for one, document in documents:
        if one.result is None or not isinstance(document, dict):
            continue
        if len(documents) == 1:
            console.print(terminal_report(document, verbose))
        for option, path in outputs.items():
            text = _FORMATS[option](document, one.result)
            if path == _STANDARD_OUTPUT:
                click.echo(text, nl=False)
                continue
            file = path if len(documents) == 1 else board_file(path, one.board)
            write_file(text, file)
            say(f"Report: {file}", err=_STANDARD_OUTPUT in outputs.values())


def _raise_first(outcomes: Sequence[Outcome[BenchResult]]) -> None:
    errors = [(outcome.board, outcome.error or _wrong_answer(outcome)) for outcome in outcomes]
    failed = [(board, error) for board, error in errors if error is not None]
    if not failed:
        return
    board, error = failed[0]
    if len(outcomes) == 1:
        raise error
    count = f"{len(failed)} of {len(outcomes)} boards failed, the first '{board.name}'"
    raise type(error)(f"{count}: {error}") from error


def _wrong_answer(outcome: Outcome[BenchResult]) -> WrongAnswerError | None:
    result = outcome.result
    if result is None or result.accuracy.logits_equal:
        return None
    return WrongAnswerError(
        f"'{outcome.board.name}' gives other answers than ONNX Runtime on this machine "
        f"({result.accuracy.differing_from_reference} of {result.accuracy.images} predictions "
        "differ); build again, and if that does not help, report a bug in bitat-deploy"
    )


def _refuse_another_length() -> None:
    for name in ("min_runs", "min_seconds"):
        source = click.get_current_context().get_parameter_source(name)
        if source is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--mlperf fixes the number and time of runs; leave out --{name.replace('_', '-')}"
            )
