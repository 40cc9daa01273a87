"""``bitat-deploy build``: a network to a bundle for a target."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from bitat_deploy.bundle import Bundle, remember_last_build
from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.cli.options import examples
from bitat_deploy.onnx_format import export_checkpoint
from bitat_deploy.report import layer_table
from bitat_deploy.target import Target, load_target
from bitat_deploy.zoo import DEFAULT_MODEL, resolve_model

CHECKPOINT_SUFFIX = ".pt"


@click.command(
    epilog=examples(
        "bitat-deploy build --target rpi4",
        "bitat-deploy build model.onnx --target rpi4 -o path/to/bundle",
    )
)
@click.argument("model", default=DEFAULT_MODEL)
@click.option(
    "--target",
    "target_name",
    default="host",
    show_default=True,
    metavar="NAME",
    help="What to build for: a file's name in targets/.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="The bundle's folder.  [default: one in the cache, which bench finds by itself]",
)
def build(model: str, target_name: str, output: Path | None) -> None:
    """Compile MODEL for a target and write a bundle, with all that the device needs.

    MODEL is an ONNX file, a checkpoint of a training run (.pt), or a name from the zoo; without
    it, the zoo's MobileNet.
    """
    target = load_target(target_name)
    console = Console()
    with console.status("starting") as status:

        def say(message: str) -> None:
            status.update(message)
            if not console.is_terminal:
                click.echo(f"{message} ...", err=True)

        bundle = _build(model, target, output, say)
    remember_last_build(bundle.directory)
    console.print(layer_table(bundle.manifest.layers))
    click.echo(
        f"{bundle.manifest.model.name} for {target.name}: model {bundle.model_size:,} bytes, "
        f"bundle {bundle.size:,} bytes in {bundle.directory}"
    )
    click.echo(f"Next: bitat-deploy bench --host {_example_host(target)}")


def _build(model: str, target: Target, output: Path | None, say: Callable[[str], None]) -> Bundle:
    if not model.endswith(CHECKPOINT_SUFFIX):
        return build_bundle(resolve_model(model), target, output, say)
    with tempfile.TemporaryDirectory(prefix="bitat-deploy-") as workspace:
        say("exporting the checkpoint")
        exported = Path(workspace) / "model.onnx"
        export_checkpoint(Path(model), exported)
        return build_bundle(exported, target, output, say)


def _example_host(target: Target) -> str:
    return "local" if target.name == "host" else "user@device"
