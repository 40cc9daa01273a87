"""Export: an ONNX file, checked in ONNX Runtime before it is written."""

from pathlib import Path

import numpy as np
import onnx

from bitat_deploy.errors import BitatDeployError, InputError
from bitat_deploy.files import whole_file
from bitat_deploy.onnx_format.reference import reference_logits


class ExportError(BitatDeployError):
    """ONNX Runtime and PyTorch disagree: a bug in bitat-deploy; nothing was written."""


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
            f"'{output}' was not written. Please report this as a bug in bitat-deploy."
        )
    if not output.parent.is_dir():
        raise InputError(f"folder '{output.parent}' does not exist; create it first")
    try:
        with whole_file(output) as file:
            file.write(model.SerializeToString())
    except OSError as error:
        raise InputError(f"cannot write '{output}': {error.strerror}") from error
