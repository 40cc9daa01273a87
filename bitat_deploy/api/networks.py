"""The network that a step begins with: an ONNX file, a checkpoint or a name from the zoo."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bitat_deploy.errors import InputError
from bitat_deploy.files import scratch_folder
from bitat_deploy.installation import install_extra
from bitat_deploy.network import IntegerNetwork
from bitat_deploy.onnx_format import to_onnx, write_validated
from bitat_deploy.progress import Progress
from bitat_deploy.zoo import resolve_model

CHECKPOINT_SUFFIX = ".pt"
VALIDATION_IMAGES = 64


@contextmanager
def onnx_file(model: str | Path, progress: Progress) -> Iterator[Path]:
    """The ONNX file of ``model``; that of a checkpoint is temporary.

    Raises InputError where there is no such file, and no such name in the zoo.
    """
    if Path(model).suffix != CHECKPOINT_SUFFIX:
        yield resolve_model(str(model))
        return
    with scratch_folder() as folder:
        progress("exporting the checkpoint", 0, 0)
        exported = folder / "model.onnx"
        export(model, exported)
        yield exported


def export(checkpoint: str | Path, output: str | Path) -> IntegerNetwork:
    """Export a checkpoint of our training to the ONNX file ``output``; the network written.

    Before it is written, its logits in ONNX Runtime are compared with PyTorch's, bit for bit.
    Raises InputError for a missing or damaged checkpoint, or where torch is not installed.
    """
    try:
        from bitat_deploy.training import integer_logits, load_checkpoint_network
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            f"reading the checkpoint '{checkpoint}' needs PyTorch; "
            f"install it with: {install_extra('train')}"
        ) from error
    network = load_checkpoint_network(Path(checkpoint))
    model = to_onnx(network)
    generator = np.random.default_rng(0)
    shape = (VALIDATION_IMAGES, *network.input_shape)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    write_validated(model, images, integer_logits(network, images), Path(output))
    return network
