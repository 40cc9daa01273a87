"""``bitat-deploy doctor``: is a device ready for a bench?"""

from collections.abc import Sequence

import click
from rich import box
from rich.console import Console
from rich.table import Table

from bitat_deploy import api
from bitat_deploy.cli.options import (
    Connect,
    examples,
    host_option,
    ssh_options,
)
from bitat_deploy.cli.output import shown
from bitat_deploy.device import Finding, Severity
from bitat_deploy.errors import DeviceUnsuitableError
from bitat_deploy.target import load_target

_MARKS = {
    Severity.OK: "[green]ok[/green]",
    Severity.WARNING: "[yellow]warning[/yellow]",
    Severity.WORTHLESS: "[yellow]warning[/yellow]",
    Severity.PROBLEM: "[bold red]problem[/bold red]",
}


@click.command(epilog=examples("bitat-deploy doctor --host pi@device --target rpi4"))
@host_option()
@click.option(
    "--target",
    "target_name",
    metavar="NAME|FILE",
    help="The target of your build: a name, or your own .yaml file.  [default: any that fits]",
)
@ssh_options()
def doctor(
    host: str,
    target_name: str | None,
    connect: Connect,
) -> None:
    """Check a device for what would prevent or distort a bench, with the remedy.

    With warnings only, the exit code is 0; with a problem that would prevent a bench it is 7.
    Nothing is installed on the device.
    """
    target = None if target_name is None else load_target(target_name)
    with connect(host) as connection:
        findings = api.doctor(connection, target)
    Console().print(_table(host, findings))
    severities = {finding.severity for finding in findings}
    if Severity.PROBLEM in severities:
        raise DeviceUnsuitableError(f"a bench on '{host}' would fail; see the problems above")
    if severities == {Severity.OK}:
        click.echo("Ready for a bench.")
    else:
        click.echo("A bench can run here, but the warnings above may affect its times.")


def _table(host: str, findings: Sequence[Finding]) -> Table:
    table = Table(
        title=shown(f"Doctor: {host}"), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False
    )
    table.add_column("", no_wrap=True)
    table.add_column("what", style="bold", no_wrap=True)
    table.add_column("found, and what to do", overflow="fold")
    for finding in findings:
        text = shown(finding.message)
        if finding.remedy:
            text.append("\n").append_text(shown(f"→ {finding.remedy}", "cyan"))
        table.add_row(_MARKS[finding.severity], finding.subject, text)
    return table
