"""``bitat-deploy clean``: remove from a device what benches left there."""

from pathlib import Path

import click

from bitat_deploy.cli.options import (
    accept_new_host_key_option,
    examples,
    host_option,
    ssh_config_option,
)
from bitat_deploy.device import connect
from bitat_deploy.device.clean import clean_device
from bitat_deploy.device.host_keys import OnNewHostKey


@click.command(epilog=examples("bitat-deploy clean --host pi@device"))
@host_option()
@ssh_config_option()
@accept_new_host_key_option()
@click.option("--force", is_flag=True, help="Even if a run is under way, which then fails.")
def clean(
    host: str, ssh_config: Path | None, on_new_host_key: OnNewHostKey | None, force: bool
) -> None:
    """Remove from a device what bench and run left there, and nothing else.

    That is the folders objects and runs in ~/.cache/bitat-deploy on the device. The next bench
    pushes everything again. Refuses while a run is under way.
    """
    with connect(host, ssh_config, on_new_host_key) as connection:
        removed = clean_device(connection, force=force)
    click.echo(f"{removed:,} bytes removed from '{host}'." if removed else "Nothing was there.")
