"""``bitat-deploy targets``: what a network can be built for."""

import click
from rich.console import Console
from rich.table import Table

from bitat_deploy.cli.options import examples
from bitat_deploy.cli.output import shown
from bitat_deploy.errors import InputError
from bitat_deploy.target import Target, load_target, target_names


@click.command(epilog=examples("bitat-deploy targets"))
def targets() -> None:
    """List the targets that build knows: one YAML file each.

    A feature is LLVM's name for a processor extension that the code may use. Caches are in KiB,
    starting with the first level of one core. Counting with xor, popcount and addition is limited
    to so many binary multiply-accumulates per cycle of one core; kernels that look counts up are
    not, and where they win they are used.
    """
    table = Table(box=None, show_header=False)
    table.add_column("target", no_wrap=True)
    table.add_column("what it is")
    for name in target_names():
        try:
            target = load_target(name)
        except InputError as error:  # the target host does not fit this machine
            table.add_row(name, shown(str(error)))
            continue
        what = shown(target.description).append("\n").append_text(shown(_details(target), "dim"))
        table.add_row(name, what)
    Console().print(table)


def _details(target: Target) -> str:
    caches = [size for size in (target.l1d_kib, target.l2_kib, target.l3_kib) if size]
    parts = [" ".join((target.cpu, *target.features))]
    parts.append(f"caches {' + '.join(map(str, caches))} KiB")
    if target.counting_bound:
        parts.append(f"counting: at most {target.counting_bound:.0f} a cycle")
    return "; ".join(parts)
