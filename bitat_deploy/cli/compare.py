"""``bitat-deploy compare``: what changed between two reports."""

from pathlib import Path

import click
from rich.console import Console

from bitat_deploy.cli.options import examples
from bitat_deploy.errors import RegressionError
from bitat_deploy.report import compare_reports, comparison_table, format_change, read_report


@click.command(
    epilog=examples(
        "bitat-deploy compare main.json branch.json --minimum-change 5 --max-size-increase 10"
    )
)
@click.argument("before", metavar="A.json", type=click.Path(path_type=Path))
@click.argument("after", metavar="B.json", type=click.Path(path_type=Path))
@click.option(
    "--minimum-change",
    type=click.FloatRange(0, 100),
    default=2.0,
    show_default=True,
    metavar="PERCENT",
    help="Smaller changes of latency do not count.",
)
@click.option(
    "--max-size-increase",
    type=click.FloatRange(min=0),
    metavar="PERCENT",
    help="Fail where peak memory, the model or the bundle grew by more.  [default: they may grow]",
)
@click.option(
    "--judge-untrusted",
    is_flag=True,
    help="Judge latency even if a report is marked NOT TRUSTWORTHY or EMULATED.",
)
def compare(
    before: Path,
    after: Path,
    minimum_change: float,
    max_size_increase: float | None,
    judge_untrusted: bool,
) -> None:
    """Show what changed from report A to report B, and whether it is more than noise.

    Both are files written by bench --json. Each quantity is judged by itself. Latency counts as
    changed if a 99 % bootstrap interval of the ratio of medians excludes 1 and the change reaches
    the minimum; accuracy if a two-proportion test at 99 % finds a difference, and for the same
    network on the same images always. Times of reports marked NOT TRUSTWORTHY or EMULATED are
    shown, but not judged. Memory and sizes may grow, unless --max-size-increase limits them.

    Exit code: 0 if B is not worse, 9 if it is, 3 for a file that is not a report. With 9, the last
    line names the quantities that are worse.
    """
    comparison = compare_reports(
        read_report(before),
        read_report(after),
        minimum_change / 100,
        judge_untrusted,
        None if max_size_increase is None else max_size_increase / 100,
    )
    Console().print(comparison_table(comparison, _names(before, after)))
    if comparison.regressions:
        worse = ", ".join(
            f"{change.what} ({format_change(change)})" for change in comparison.regressions
        )
        raise RegressionError(f"'{after}' is worse than '{before}' (exit code 9) in: {worse}")


def _names(before: Path, after: Path) -> tuple[str, str]:
    """The files' names without ".json", or the paths if the names are the same."""
    if before.stem != after.stem:
        return before.stem, after.stem
    return str(before), str(after)
