"""``bitat-deploy export``: a checkpoint to an ONNX file."""

from pathlib import Path

import click

from bitat_deploy import api
from bitat_deploy.cli.options import examples
from bitat_deploy.cli.output import say


@click.command(epilog=examples("bitat-deploy export runs/mobilenet/checkpoint.pt -o model.onnx"))
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("model.onnx"),
    show_default=True,
    help="The ONNX file to write.",
)
def export(checkpoint: Path, output: Path) -> None:
    """Export CHECKPOINT of a training run to an ONNX file.

    The file runs in stock ONNX Runtime; before it is written, its logits are compared there with
    PyTorch's, bit for bit.
    """
    network = api.export(checkpoint, output)
    size = output.stat().st_size
    say(
        f"{output}: {network.name}, {len(network.layers)} layers, {size:,} bytes; "
        "ONNX Runtime gives the same logits as PyTorch"
    )
