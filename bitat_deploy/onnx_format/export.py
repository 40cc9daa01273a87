"""Export: a trained checkpoint to an ONNX file, checked in ONNX Runtime before it is written."""

from pathlib import Path

import numpy as np
import onnx

from bitat_deploy.errors import BitatDeployError, InputError
from bitat_deploy.files import whole_file
from bitat_deploy.network import IntegerNetwork
from bitat_deploy.onnx_format.reference import reference_logits
from bitat_deploy.onnx_format.writer import to_onnx

VALIDATION_IMAGES = 64


class ExportError(BitatDeployError):
    """ONNX Runtime and PyTorch disagree: a defect of ours, never written to a file."""


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


def write_validated(
    model: onnx.ModelProto,
    images: np.ndarray,
    expected: np.ndarray,
    output: Path,
) -> None:
    """Write ``model`` once it passes onnx.checker and gives ``expected`` in ONNX Runtime.

    ``images`` uint8 [N, H, W, C], ``expected`` float32 [N, classes]; compared with ``==``.
    """
    onnx.checker.check_model(model, full_check=True)
    logits = reference_logits(model, images)
    if not np.array_equal(logits, expected):
        wrong = int((logits != expected).any(axis=1).sum())
        raise ExportError(
            f"ONNX Runtime differs from PyTorch on {wrong} of {len(images)} random images; "
            f"'{output}' was not written. Please report this as a defect of bitat-deploy."
        )
    if not output.parent.is_dir():
        raise InputError(f"folder '{output.parent}' does not exist; create it first")
    try:
        with whole_file(output) as file:
            file.write(model.SerializeToString())
    except OSError as error:
        raise InputError(f"cannot write '{output}': {error.strerror}") from error
