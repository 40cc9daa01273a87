"""``bitat-deploy quantize``: a trained network to few bits, on photos without labels."""

from pathlib import Path

import click
from rich.console import Console

from bitat_deploy import api
from bitat_deploy.cli.options import examples
from bitat_deploy.cli.output import say

_ROUNDINGS = ("adaround", "descent", "gptq", "nearest")
_BITS = click.IntRange(1, 8)


@click.command(
    epilog=examples(
        "bitat-deploy quantize runs/twin/checkpoint.pt --data photos/ --weights 2 --activations 4"
    )
)
@click.argument("path", metavar="CHECKPOINT", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder or tar archive of pictures like those of the training, without labels or in "
    "folders of classes.  [default: the checkpoint's data set]",
)
@click.option(
    "--weights", type=_BITS, required=True, help="Bits of the weights; 5 to 7 cannot be exported."
)
@click.option(
    "--activations",
    type=_BITS,
    required=True,
    help="Bits of the activations; 5 to 7 cannot be exported, 1 must have been trained.",
)
@click.option(
    "--images",
    "count",
    type=click.IntRange(min=2),
    default=1000,
    show_default=True,
    help="How many pictures to use, drawn at random.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Training steps afterwards, without labels: all but the levels of the weights.",
)
@click.option(
    "--rounding",
    type=click.Choice(_ROUNDINGS),
    default="descent",
    show_default=True,
    help="How levels are chosen; all but the default are for comparison.",
)
@click.option(
    "--layer-bits",
    "layers",
    multiple=True,
    metavar="LAYER=BITS",
    help="Another number of bits for the weights of one layer, or of all that match a pattern: "
    "*.depthwise=8. scripts/choose-bits chooses them.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for checkpoint and report.  [default: runs/NAME-wWaA]",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Which pictures are drawn.")
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads.")
def quantize(
    path: Path,
    data: Path | None,
    weights: int,
    activations: int,
    count: int,
    steps: int,
    rounding: str,
    layers: tuple[str, ...],
    output: Path | None,
    seed: int,
    threads: int | None,
) -> None:
    """Quantize the network of CHECKPOINT to few bits, on pictures without labels.

    CHECKPOINT is of a run with real weights: method full-precision, or quantized-activations. The
    result is a checkpoint as train leaves it, for export and build. Where the folder has
    test/CLASS/IMAGE, the accuracy before and after is shown.
    """
    api.prepare_torch("quantizing")
    from bitat_deploy.training import ConsoleProgress, PostTrainingRecipe, QuantizeOptions

    recipe = PostTrainingRecipe(rounding=rounding)
    layer_bits = dict(map(_layer_bits, layers))
    options = QuantizeOptions(weights, activations, recipe, steps, seed=seed, layer_bits=layer_bits)
    with ConsoleProgress(Console()) as progress:
        quantized = api.quantize(
            path, options, data, output, images=count, threads=threads, progress=progress
        )
    state = quantized.checkpoint
    result = state.result or {}
    if state.test_images:
        say(
            f"top-1 {result['reference_top1']:.4f} before, {state.top1:.4f} after, on "
            f"{state.test_images} test images ({result['evaluation']} evaluation)"
        )
    else:
        say("no test images of the network's classes, so no accuracy")
    say(
        f"weights of {weights} bits, activations of {activations}, from "
        f"{state.recipe.data.calibration_images} pictures in {state.elapsed:.0f} s; "
        f"{quantized.file}"
    )


def _layer_bits(option: str) -> tuple[str, int]:
    """What LAYER=BITS says; which bits there are the recipe checks."""
    layer, _, bits = option.rpartition("=")
    if not layer or not bits.isdecimal():
        raise click.UsageError(f"--layer-bits '{option}' is not LAYER=BITS")
    return layer, int(bits)
