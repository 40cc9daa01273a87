"""A rival: a full-precision network of ours, quantized to 8 bits by ONNX Runtime."""

import logging
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from torch import Tensor

from bitat_deploy.datasets import load_dataset
from bitat_deploy.training import (
    ImageSet,
    QuantizedNetwork,
    Recipe,
    environment,
    finished_network,
    images_to_tensor,
    load_checkpoint,
    split_training,
    to_image_set,
)

_BATCH = 100


def static_int8_top1(network: QuantizedNetwork, photos: Tensor, test: ImageSet) -> float:
    """Top-1 on ``test``, a fraction of 1, of ``network`` quantized on ``photos``.

    The network is exported to ONNX in full precision and quantized by ``quantize_static``: weights
    of 8 bits with one scale for each filter, activations of 8 bits with the range that ``photos``
    uint8 [N, H, W, C] give (MinMax, its default), one thread.
    """
    with tempfile.TemporaryDirectory() as folder:
        real, quantized = (Path(folder) / name for name in ("real.onnx", "int8.onnx"))
        export_real(network, real)
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)  # it advises to fold what is folded already
        try:
            quantize_static(
                real,
                quantized,
                _Photos(photos),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        finally:
            logging.getLogger().setLevel(level)
        return onnx_top1(quantized, test)


def static_int8_report(checkpoint: Path, recipe: Recipe, data: Path | None) -> dict[str, Any]:
    """The report of a row of :mod:`benchmarks.comparison`: the run at ``checkpoint``, quantized.

    On the run's calibration images, of those that it trained on. Raises InputError.
    """
    began = time.monotonic()
    state = load_checkpoint(checkpoint)
    folder = recipe.data
    training, test = (
        load_dataset(recipe.dataset, split, data, folder.image_size) for split in ("train", "test")
    )
    photos = split_training(training, folder)[0].middle(folder.crop).images
    images = to_image_set(test, folder.test_images).middle(folder.crop)
    network = finished_network(state)
    top1 = static_int8_top1(network, photos[: folder.calibration_images], images)
    return {
        "recipe": recipe.plain(),
        "seed": recipe.seed,
        "accuracy": {"images": len(images), "top1": top1, "evaluation": "ONNX Runtime, int8"},
        "quantized_by": f"onnxruntime {onnxruntime.__version__}, static, QDQ",
        "stages": [],
        "epochs": [],
        "elapsed_seconds": round(time.monotonic() - began, 1),
        "environment": environment(),
    }


def export_real(network: QuantizedNetwork, path: Path) -> None:
    """Write ``network`` as it computes now to ONNX: "image" float32 [n, C, H, W] to "logits"."""
    height, width, channels = network.input_shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter by tracing is deprecated
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, channels, height, width),),
            str(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}},
            dynamo=False,
        )


def onnx_top1(path: Path, test: ImageSet) -> float:
    """Top-1 of a model that :func:`export_real` wrote, or of its like, on uint8 images."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    right = 0
    for images, labels in zip(test.images.split(_BATCH), test.labels.split(_BATCH), strict=True):
        (logits,) = session.run(None, {"image": _floats(images)})
        right += int((np.asarray(logits).argmax(axis=1) == labels.numpy()).sum())
    return right / len(test)


class _Photos(CalibrationDataReader):
    def __init__(self, photos: Tensor) -> None:
        self._batches: Iterator[Tensor] = iter(photos.split(_BATCH))

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"image": _floats(batch)}


def _floats(images: Tensor) -> NDArray[np.float32]:
    floats: NDArray[np.float32] = images_to_tensor(images).contiguous().numpy()
    return floats
