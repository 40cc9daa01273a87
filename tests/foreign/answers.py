"""What a file gives in ONNX Runtime, and what its bundle gives on this machine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.device import classify, connect
from bitat_deploy.target import load_target


def scaled(pictures: np.ndarray) -> np.ndarray:
    """What a float network reads by default: pixel / 255, NCHW."""
    return (pictures / np.float32(255)).transpose(0, 3, 1, 2).astype(np.float32)


def differences(
    path: Path, folder: Path, as_input: Callable[[np.ndarray], np.ndarray] = scaled
) -> np.ndarray:
    """Of the logits of eight pictures, relative to the largest logit of all."""
    bundle = build_bundle(path, load_target("host"), folder / "bundle")
    size = (8, *bundle.manifest.model.input_shape)
    pictures = np.random.default_rng(3).integers(0, 256, size, dtype=np.uint8)
    with connect("local") as connection:
        given = classify(bundle, connection, pictures)
    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    wanted = np.stack([session.run(None, {name: x[None]})[0][0] for x in as_input(pictures)])
    return np.asarray(np.abs(given - wanted).max(axis=1) / np.abs(wanted).max())
