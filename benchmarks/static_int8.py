"""A rival: a full-precision network of ours, quantized to 8 bits by ONNX Runtime."""

import contextlib
import io
import logging
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod
from torch import Tensor

from bitat_deploy.baseline import quantize_int8
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
_HISTOGRAM = 500


@dataclass(frozen=True)
class StaticInt8:
    """What ``setting`` of ONNX Runtime's static quantization reached: ``top1``, of 1."""

    setting: str
    top1: float


def static_int8_top1(network: QuantizedNetwork, photos: Tensor, test: ImageSet) -> StaticInt8:
    """Top-1 on ``test`` of ``network`` quantized on ``photos``, as well as ONNX Runtime can.

    The network is exported to ONNX in full precision and quantized by ``quantize_static``: weights
    of 8 bits with one scale for each filter, activations of 8 bits, one thread. Of its settings
    the one is taken whose answers for ``photos`` uint8 [N, H, W, C] are most often those of the
    network in full precision: no labels are needed for that.
    """
    with tempfile.TemporaryDirectory() as folder:
        real, quantized = (Path(folder) / name for name in ("real.onnx", "int8.onnx"))
        export_real(network, real)
        answers = ImageSet(photos, torch.from_numpy(onnx_answers(real, photos)))
        tried = []
        for name, setting in _SETTINGS.items():
            _quantize(real, quantized, photos, setting)
            agreement, top1 = (onnx_top1(quantized, images) for images in (answers, test))
            tried.append((agreement, StaticInt8(name, top1)))
        return max(tried, key=lambda pair: pair[0])[1]


_SETTINGS: dict[str, dict[str, Any]] = {
    "all operators, ranges of MinMax": {},
    "all operators, ranges of the 99.99th percentile": {
        "calibrate_method": CalibrationMethod.Percentile,
        "extra_options": {"CalibPercentile": 99.99},
    },
    "convolutions and classifier alone": {"op_types_to_quantize": ["Conv", "Gemm"]},
}


def _quantize(real: Path, quantized: Path, photos: Tensor, setting: dict[str, Any]) -> None:
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it advises to fold what is folded already
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it counts its tensors
            # Histograms of percentiles keep all values.
            some = photos[:_HISTOGRAM] if "calibrate_method" in setting else photos
            inputs = ({"image": _floats(batch)} for batch in some.split(_BATCH))
            quantize_int8(real, quantized, inputs, **setting)
    finally:
        logging.getLogger().setLevel(level)


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
    result = static_int8_top1(network, photos[: folder.calibration_images], images)
    return {
        "recipe": recipe.plain(),
        "seed": recipe.seed,
        "accuracy": {
            "images": len(images),
            "top1": result.top1,
            "evaluation": "ONNX Runtime, int8",
        },
        "quantized_by": f"onnxruntime {onnxruntime.__version__}, static, QDQ, {result.setting}",
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
    return float((onnx_answers(path, test.images) == test.labels.numpy()).mean())


def onnx_answers(path: Path, images: Tensor) -> NDArray[np.int64]:
    """Its classes, int64 [N], for uint8 images [N, H, W, C]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    logits = [session.run(None, {"image": _floats(some)})[0] for some in images.split(_BATCH)]
    return np.concatenate(logits).argmax(axis=1)


def _floats(images: Tensor) -> NDArray[np.float32]:
    floats: NDArray[np.float32] = images_to_tensor(images).contiguous().numpy()
    return floats
