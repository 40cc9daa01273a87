"""The recipe of each run, as plain values: of a shape's twin, and of a candidate.

The same images, batch size and epochs for all; a learning rate for each method, not tuned for any
number of bits.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitat_deploy.exploration.candidates import Candidate, Training

_UNIQ_RATE, _SIGN_RATE, _TWIN_RATE = 0.02, 0.003, 0.05
_WARMUP = 0.1  # of the epochs
_SIGN = {"quantizer": "sign", "nonlinearity": "relu"}


@dataclass(frozen=True)
class Images:
    """How the user's pictures are used; so many are for validation."""

    training: Training
    validation: int


def twin_recipe(candidate: Candidate, images: Images, epochs: int) -> dict[str, Any]:
    """The full-precision network of a candidate's shape, from the start."""
    return _recipe(candidate.twin, candidate, images) | {
        "method": "full-precision",
        "quantization": _twin_quantization(candidate),
        "optimizer": {"kind": "sgd", "weight_decay": 1e-4},
        "full_precision": _stage(epochs, _TWIN_RATE),
    }


def candidate_recipe(
    candidate: Candidate, images: Images, epochs: int, twin: Path
) -> dict[str, Any]:
    """A candidate that begins as its twin's checkpoint and is taught by it."""
    recipe = _recipe(candidate.name, candidate, images) | {
        "init": str(twin),
        "distillation": {"weight": images.training.distillation, "teacher": str(twin)},
    }
    if not images.training.distillation:
        del recipe["distillation"]
    if candidate.bits is None:
        return recipe | {
            "method": "full-precision",
            "quantization": _twin_quantization(candidate),
            "optimizer": {"kind": "sgd", "weight_decay": 1e-4},
            "full_precision": _stage(epochs, _UNIQ_RATE),
        }
    bits = candidate.bits
    quantization: dict[str, Any] = {"layer_bits": bits.layers} if bits.layers else {}
    if (bits.weights, bits.activations) == (1, 1):
        return recipe | {
            "method": "straight-through",
            "quantization": quantization | _SIGN,
            "full_precision": _stage(0, _TWIN_RATE),  # the twin is UniQ's, with a ReLU
            "quantized": _stage(epochs, _SIGN_RATE),
        }
    return recipe | {
        "method": "uniq",
        "quantization": {
            **quantization,
            "quantizer": "uniq",
            "weight_bits": bits.weights,
            "activation_bits": bits.activations,
        },
        "optimizer": {"kind": "sgd"},  # UniQ's gradient scales mean nothing to Adam
        "quantized": _stage(epochs, _UNIQ_RATE),
    }


def _recipe(name: str, candidate: Candidate, images: Images) -> dict[str, Any]:
    training = images.training
    return {
        "name": name,
        "description": "by bitat-deploy explore",
        "dataset": "image-folder",
        "network": {
            **asdict(candidate.shape),
            "blocks": list(map(list, candidate.shape.blocks)),
            "width": candidate.width,
        },
        "data": {
            "image_size": candidate.image_size,
            "validation_images": images.validation,
            "test_images": 0,  # they are for the end
            "batch_size": training.batch_size,
            "flip": training.flip,
            "shift": training.shift,
            "group": training.group,
            "test_share": training.test_share,
        },
    }


def _twin_quantization(candidate: Candidate) -> dict[str, Any]:
    return _SIGN if candidate.shape.block == "reactnet" else {"quantizer": "uniq"}


def _stage(epochs: int, rate: float) -> dict[str, Any]:
    return {"epochs": epochs, "learning_rate": rate, "warmup_epochs": epochs * _WARMUP}
