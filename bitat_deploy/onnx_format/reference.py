"""The answer of stock ONNX Runtime: the reference that everything after export must equal."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from bitat_deploy.errors import InputError
from bitat_deploy.plain_text import foreign_text

# Unpacked activations take a byte per bit; small batches keep them in the cache.
BATCH = 50

# Key in a model's metadata; "off" if ONNX Runtime's optimizations would change its answers.
OPTIMIZATIONS = "onnx_runtime_optimizations"


def reference_logits(
    model: Path | onnx.ModelProto, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Logits float32 [N, classes] of ``images`` uint8 [N, H, W, C], by ONNX Runtime.

    Runs without optimizations if the model's metadata asks for that (:data:`OPTIMIZATIONS`).
    Raises InputError if ONNX Runtime does not accept the model, or gives up while it runs it.
    """
    try:
        return _logits(model, images)
    except Exception as error:  # ONNX Runtime's exceptions have no public common base
        name = "the exported model" if isinstance(model, onnx.ModelProto) else f"'{model}'"
        reason = foreign_text(str(error), 500)
        raise InputError(f"ONNX Runtime cannot run {name}: {reason}") from error


def _logits(model: Path | onnx.ModelProto, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model.read_bytes()
    session = _session(source, optimize=True)
    if session.get_modelmeta().custom_metadata_map.get(OPTIMIZATIONS) == "off":
        session = _session(source, optimize=False)
    (picture,) = session.get_inputs()
    size = picture.shape[0] if isinstance(picture.shape[0], int) else BATCH
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    return np.concatenate([session.run(None, {picture.name: batch})[0] for batch in batches])


def _session(source: str | bytes, optimize: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is in the exception
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
