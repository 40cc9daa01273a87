"""``bitat-deploy targets``: what a network can be built for."""

import click
from rich.console import Console
from rich.table import Table

from bitat_deploy.cli.options import examples
from bitat_deploy.errors import InputError
from bitat_deploy.target import load_target, target_names


@click.command(epilog=examples("bitat-deploy targets"))
def targets() -> None:
    """List the targets that build knows: one YAML file each.

    A feature is LLVM's name of an extension of the processor that the code may use; caches are in
    KiB, the first level of one core and those behind it. The bound is of one core: binary
    multiply-accumulates a cycle with xor, popcount and addition, where vectors have a popcount.
    """
    table = Table(box=None, header_style="bold")
    for heading in ("target", "what it is", "processor", "features", "caches", "bound"):
        table.add_column(heading, overflow="fold")
    for name in target_names():
        try:
            target = load_target(name)
        except InputError as error:  # this machine is none that the target host is for
            table.add_row(name, str(error))
            continue
        caches = [target.l1d_kib, target.l2_kib, target.l3_kib]
        table.add_row(
            name,
            target.description,
            target.cpu,
            " ".join(target.features),
            " ".join(str(size) for size in caches if size),
            f"{target.bmac_bound:.0f}" if target.bmac_bound else "",
        )
    Console(soft_wrap=False).print(table)
