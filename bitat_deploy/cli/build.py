"""``bitat-deploy build``: a network to a bundle for a target."""

from pathlib import Path

import click
from rich.console import Console

from bitat_deploy import api
from bitat_deploy.bounded_process import Limits
from bitat_deploy.bundle import MAXIMUM_BATCH, remember_last_build
from bitat_deploy.cli.model import foreign_options
from bitat_deploy.cli.options import examples
from bitat_deploy.cli.output import say, shown
from bitat_deploy.network import Preprocessing
from bitat_deploy.report import layer_table
from bitat_deploy.target import Target, load_target
from bitat_deploy.zoo import DEFAULT_MODEL

# What the manifest says of networks from elsewhere, and how the line begins.
_FACTS = {"import": "Import", "note": "Note", "recognised": "Binarized"}


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
    help="The bundle's folder.  [default: one in the cache, where bench finds it]",
)
@click.option(
    "--batch",
    type=click.IntRange(1, MAXIMUM_BATCH),
    default=1,
    show_default=True,
    help="Images that the network takes at once.",
)
@click.option(
    "--classes",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Text file with the names of the classes, one a line, in the order of the network's "
    "outputs.  [default: those in the file]",
)
@click.option("--no-cache", is_flag=True, help="Compile again, even if the same was built before.")
@foreign_options
def build(
    model: str,
    target_name: str,
    output: Path | None,
    batch: int,
    no_cache: bool,
    classes: Path | None,
    preprocessing: Preprocessing | None,
    input_shape: tuple[int, ...] | None,
    limits: Limits,
) -> None:
    """Compile MODEL for a target and write a bundle, with all that the device needs.

    MODEL is an ONNX file, a checkpoint of a training run (.pt), or a name from the zoo; without
    it, the zoo's MobileNet. Of an ONNX file from elsewhere, the binarized layers are compiled to
    our operators and the rest to float32; its input is (pixel * FACTOR - M) / S.
    """
    target = load_target(target_name)
    console = Console()
    with console.status("starting") as status:

        def show(stage: str, done: int, total: int) -> None:
            status.update(shown(stage))
            if not console.is_terminal:
                say(f"{stage} ...", err=True)

        bundle = api.build(
            model,
            target,
            output,
            batch=batch,
            use_cache=not no_cache,
            preprocessing=preprocessing,
            input_shape=input_shape,
            class_names=() if classes is None else api.read_class_names(classes),
            limits=limits,
            progress=show,
        )
    try:
        remember_last_build(bundle.directory)
    except OSError as error:  # the bundle is there
        say(f"Warning: bench will not find this build by itself ({error.strerror})", err=True)
    console.print(layer_table(bundle.manifest.layers))
    model_identity = bundle.manifest.model
    say(f"Input: {model_identity.preprocessing.describe(model_identity.input_shape)}")
    for key, words in _FACTS.items():
        if key in bundle.manifest.model.metadata:
            say(f"{words}: {bundle.manifest.model.metadata[key]}")
    say(
        f"{bundle.manifest.model.name} for {target.name}: model {bundle.model_size:,} bytes, "
        f"bundle {bundle.size:,} bytes in {bundle.directory}"
    )
    say(f"Next: bitat-deploy bench --host {_example_host(target)}")


def _example_host(target: Target) -> str:
    return "local" if target.name == "host" else "user@device"
