"""Export: a checkpoint of the training to an ONNX file, for the commands that take one."""

from pathlib import Path

import numpy as np

from bitat_deploy.errors import InputError
from bitat_deploy.network import IntegerNetwork
from bitat_deploy.onnx_format import to_onnx, write_validated

VALIDATION_IMAGES = 64


def export_checkpoint(checkpoint: Path, output: Path) -> IntegerNetwork:
    """Export a checkpoint of our training to ``output``; returns the network written.

    Raises InputError for a missing or damaged checkpoint, or where torch is not installed.
    """
    try:
        from bitat_deploy.training.integer_network import integer_logits, load_checkpoint_network
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            f"reading the checkpoint '{checkpoint}' needs PyTorch; "
            "install it with: pip install 'bitat-deploy[train]'"
        ) from error
    network = load_checkpoint_network(checkpoint)
    model = to_onnx(network)
    generator = np.random.default_rng(0)
    shape = (VALIDATION_IMAGES, *network.input_shape)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    write_validated(model, images, integer_logits(network, images), output)
    return network
