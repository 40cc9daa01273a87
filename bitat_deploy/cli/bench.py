"""``bitat-deploy bench``: measure a bundle on a device."""

import dataclasses
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from bitat_deploy.bundle import last_build, read_bundle
from bitat_deploy.datasets import Dataset, load_dataset
from bitat_deploy.device import connect
from bitat_deploy.device.bench import BenchOptions
from bitat_deploy.device.bench import bench as measure
from bitat_deploy.report import (
    bench_document,
    bench_report,
    check_writable,
    html_report,
    json_report,
    markdown_report,
    write_file,
)

DEFAULT_DATASET = "fashion-mnist"

_FORMATS = {"--json": json_report, "--markdown": markdown_report, "--html": html_report}


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--host",
    default="local",
    show_default=True,
    metavar="local|USER@HOST[:PORT]",
    help="The device: this machine, or another one by SSH.",
)
@click.option(
    "-F",
    "--ssh-config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="SSH configuration to use instead of the usual ones, as with ssh -F.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the report to this file, as JSON.",
)
@click.option(
    "--markdown",
    "markdown_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write it as Markdown.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write it as a page with charts, one file that opens offline.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder with the data set's files.  [default: found, or downloaded once]",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    help="Use only so many test images, the first ones.  [default: all]",
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
    help="Measure at least so many runs.",
)
@click.option(
    "--min-seconds",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="Measure at least so long.",
)
def bench(
    bundle: Path | None,
    host: str,
    ssh_config: Path | None,
    json_file: Path | None,
    markdown_file: Path | None,
    html_file: Path | None,
    data: Path | None,
    images: int | None,
    threads: int,
    warmup: int,
    min_runs: int,
    min_seconds: float,
) -> None:
    """Measure latency and accuracy of BUNDLE on a device; without BUNDLE, of the last build.

    Pushes what the device does not have yet, checks it there, runs, and prints a report. Nothing
    is installed on the device.

    Example: bitat-deploy bench --host pi@device --json report.json --html report.html
    """
    outputs = {"--json": json_file, "--markdown": markdown_file, "--html": html_file}
    for option, path in outputs.items():
        if path is not None:
            check_writable(path, option)
    opened = read_bundle(bundle if bundle is not None else last_build())
    name = opened.manifest.model.metadata.get("dataset", DEFAULT_DATASET)
    dataset = _first(load_dataset(name, "test", data), images)
    options = BenchOptions(threads, warmup, min_runs, min_seconds)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"connecting to {host}", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total or None)

        with connect(host, ssh_config) as connection:
            result = measure(opened, connection, dataset, options, show)
    Console().print(bench_report(result))
    document = bench_document(result)
    for option, path in outputs.items():
        if path is not None:
            write_file(_FORMATS[option](document), path)
            click.echo(f"Report: {path}")


def _first(dataset: Dataset, count: int | None) -> Dataset:
    return dataclasses.replace(
        dataset, images=dataset.images[:count], labels=dataset.labels[:count]
    )
