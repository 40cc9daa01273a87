"""``bitat-deploy clean``: remove what benches left on a device."""

import click

from bitat_deploy import api
from bitat_deploy.cli.options import (
    Connect,
    examples,
    host_option,
    ssh_options,
)
from bitat_deploy.cli.output import say


@click.command(epilog=examples("bitat-deploy clean --host pi@device"))
@host_option()
@ssh_options()
@click.option("--force", is_flag=True, help="Clean even during a run, which then fails.")
def clean(host: str, connect: Connect, force: bool) -> None:
    """Remove what bench and run left on a device, and nothing else.

    Removes the folders objects and runs in ~/.cache/bitat-deploy on the device. The next bench
    pushes everything again. Refuses while a run is in progress.
    """
    with connect(host) as connection:
        removed = api.clean(connection, force=force)
    say(f"{removed:,} bytes removed from '{host}'." if removed else "Nothing was there.")
