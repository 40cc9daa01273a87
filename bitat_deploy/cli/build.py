"""``bitat-deploy build``: a network to a bundle for a target."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from bitat_deploy.bundle import Bundle, remember_last_build
from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.bundle.manifest import MAXIMUM_BATCH
from bitat_deploy.cli.checkpoint import export_checkpoint
from bitat_deploy.cli.options import examples
from bitat_deploy.report import layer_table
from bitat_deploy.target import Target, load_target
from bitat_deploy.zoo import DEFAULT_MODEL, resolve_model

if TYPE_CHECKING:
    from bitat_deploy.foreign import Preprocessing

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
    metavar="NAME|FILE",
    help="What to build for: a name that 'bitat-deploy targets' lists, or your own .yaml file.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="The bundle's folder.  [default: one in the cache, which bench finds by itself]",
)
@click.option(
    "--batch",
    type=click.IntRange(1, MAXIMUM_BATCH),
    default=1,
    show_default=True,
    help="Images that the network takes at once.",
)
@click.option("--no-cache", is_flag=True, help="Compile, even what was built before.")
@click.option(
    "--mean",
    metavar="M[,M,M]",
    help="Of networks from elsewhere: subtracted from the scaled pixel, for each channel.",
)
@click.option(
    "--std",
    metavar="S[,S,S]",
    help="Of networks from elsewhere: what the difference is divided by, for each channel.",
)
@click.option(
    "--input-scale",
    type=float,
    metavar="FACTOR",
    help="Of networks from elsewhere: what the pixel's byte is multiplied by.  [default: 1/255]",
)
def build(
    model: str,
    target_name: str,
    output: Path | None,
    batch: int,
    no_cache: bool,
    mean: str | None,
    std: str | None,
    input_scale: float | None,
) -> None:
    """Compile MODEL for a target and write a bundle, with all that the device needs.

    MODEL is an ONNX file, a checkpoint of a training run (.pt), or a name from the zoo; without
    it, the zoo's MobileNet. Of an ONNX file from elsewhere what is binarized is compiled to our
    operators and the rest to float32; its input is (pixel * FACTOR - M) / S.
    """
    target = load_target(target_name)
    console = Console()
    with console.status("starting") as status:

        def say(message: str) -> None:
            status.update(message)
            if not console.is_terminal:
                click.echo(f"{message} ...", err=True)

        preprocessing = _preprocessing(mean, std, input_scale)
        bundle = _build(model, target, output, say, not no_cache, preprocessing, batch)
    remember_last_build(bundle.directory)
    console.print(layer_table(bundle.manifest.layers))
    for key, words in (("preprocessing", "Input"), ("import", "Import")):
        if key in bundle.manifest.model.metadata:
            click.echo(f"{words}: {bundle.manifest.model.metadata[key]}")
    click.echo(
        f"{bundle.manifest.model.name} for {target.name}: model {bundle.model_size:,} bytes, "
        f"bundle {bundle.size:,} bytes in {bundle.directory}"
    )
    click.echo(f"Next: bitat-deploy bench --host {_example_host(target)}")


def _preprocessing(
    mean: str | None, std: str | None, scale: float | None
) -> "Preprocessing | None":
    """What the options say; None where none was given."""
    if mean is None and std is None and scale is None:
        return None
    from bitat_deploy.foreign import Preprocessing  # imports ONNX Runtime

    given: dict[str, Any] = {}
    for name, text in (("mean", mean), ("std", std)):
        if text is not None:
            try:
                given[name] = tuple(float(number) for number in text.split(","))
            except ValueError as error:
                raise click.UsageError(
                    f"--{name} is numbers with commas between, like 0.5,0.5,0.5; not '{text}'"
                ) from error
    if scale is not None:
        given["scale"] = scale
    return Preprocessing(**given)


def _build(
    model: str,
    target: Target,
    output: Path | None,
    say: Callable[[str], None],
    use_cache: bool,
    preprocessing: "Preprocessing | None",
    batch: int,
) -> Bundle:
    if not model.endswith(CHECKPOINT_SUFFIX):
        return build_bundle(
            resolve_model(model),
            target,
            output,
            say,
            use_cache=use_cache,
            preprocessing=preprocessing,
            batch=batch,
        )
    with tempfile.TemporaryDirectory(prefix="bitat-deploy-") as workspace:
        say("exporting the checkpoint")
        exported = Path(workspace) / "model.onnx"
        export_checkpoint(Path(model), exported)
        return build_bundle(exported, target, output, say, use_cache=use_cache, batch=batch)


def _example_host(target: Target) -> str:
    return "local" if target.name == "host" else "user@device"
