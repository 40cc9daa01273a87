"""From trained floats to the packed integer chain, and PyTorch's own evaluation of that chain."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.network import (
    IMAGE,
    IMAGE_WEIGHT_BITS,
    Convolution,
    GlobalSum,
    IntegerNetwork,
    Layer,
    Quantize,
    QuantizedDense,
)
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint
from bitat_deploy.training.integer_evaluation import evaluate_layers
from bitat_deploy.training.networks import (
    BinaryLayer,
    BinaryMobileNet,
    Classifier,
    QuantizedStem,
    build_network,
)
from bitat_deploy.training.quantizers import int8_scale

_BATCH = 500
_METHOD = "BiTAT (arXiv 2207.01394), layer by layer, our reconstruction"
_METHOD_WITH_SIGNS = f"{_METHOD}; then signs fine-tuned together, straight-through"


def load_checkpoint_network(path: Path) -> IntegerNetwork:
    """Read a checkpoint and turn its network into integers: what ``export`` calls.

    Raises InputError when the file is missing, damaged or of another version.
    """
    return checkpoint_network(load_checkpoint(path))


def checkpoint_network(checkpoint: Checkpoint) -> IntegerNetwork:
    """The integer network of a checkpoint, with its metadata."""
    recipe = checkpoint.recipe
    network = build_network(recipe.network, checkpoint.input_shape, len(checkpoint.class_names))
    try:
        network.load_state_dict(checkpoint.network)
    except RuntimeError as error:
        raise InputError(
            f"the checkpoint's weights do not fit its recipe '{recipe.name}'; it is damaged"
        ) from error
    metadata = {
        "dataset": recipe.dataset,
        "recipe": recipe.name,
        "seed": str(recipe.seed),
        "method": _METHOD_WITH_SIGNS if recipe.fine_tune.signs else _METHOD,
    }
    if checkpoint.top1 is not None:
        metadata |= {"top1": f"{checkpoint.top1:.4f}", "images": str(checkpoint.test_images)}
    return to_integer_network(network, recipe.name, checkpoint.class_names, metadata)


def to_integer_network(
    network: BinaryMobileNet, name: str, class_names: tuple[str, ...], metadata: dict[str, str]
) -> IntegerNetwork:
    """Fold every batch normalisation and sign into one integer threshold per channel.

    Binary layers count with the signs of their weights, whether committed yet or not.
    """
    height, width, _ = network.shape.input_shape
    layers: list[Layer] = [_stem(network.stem)]
    size = _strided((height, width), network.stem.stride)
    for layer in network.binary_layers():
        layers.append(_binary(layer, layers[-1].name))
        size = _strided(size, layer.stride)
    layers.append(GlobalSum("pool", layers[-1].name))
    layers.append(_classifier(network.classifier, positions=size[0] * size[1]))
    return IntegerNetwork(name, network.shape.input_shape, tuple(layers), class_names, metadata)


def fold_threshold(
    normalization: nn.BatchNorm2d,
    unit: NDArray[np.float64],
    lowest: NDArray[np.int64],
    highest: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The integer t with ``bit = (sum >= t)``, and which channels need their filter negated.

    The layer's real-valued sum is ``unit * sum`` (``unit`` > 0, [channels]) with ``sum`` between
    ``lowest`` and ``highest``; bit = 1 where gamma (unit sum - mean) / deviation + beta >= 0. For
    gamma < 0 this is sum <= t, so the negated filter's sum is compared with -t. For gamma = 0 the
    bit is constant. Thresholds are clipped to just beyond the range of the sum: constant bits.
    Computes in float64.
    """
    assert normalization.running_mean is not None and normalization.running_var is not None
    gamma = _float64(normalization.weight)
    beta = _float64(normalization.bias)
    mean = _float64(normalization.running_mean)
    deviation = np.sqrt(_float64(normalization.running_var) + normalization.eps)
    negative = gamma < 0
    constant = gamma == 0
    crossing = (mean - beta * deviation / np.where(constant, 1.0, gamma)) / unit
    crossing = np.where(constant, np.where(beta >= 0, -np.inf, np.inf), crossing)
    crossing = np.where(negative, -crossing, crossing)
    low = np.where(negative, -highest, lowest)
    high = np.where(negative, -lowest, highest)
    return np.ceil(np.clip(crossing, low, high + 1)).astype(np.int32), negative


def _stem(stem: QuantizedStem) -> Convolution:
    scale = int8_scale(stem.weight, per_channel=True)
    weight = torch.round(stem.weight.detach() / scale).to(torch.int64).numpy()
    taps = weight.reshape(len(weight), -1)
    lowest = 255 * np.minimum(taps, 0).sum(axis=1)
    highest = 255 * np.maximum(taps, 0).sum(axis=1)
    unit = _float64(scale).reshape(-1) / 255  # the training's image is pixel / 255
    threshold, negated = fold_threshold(stem.normalization, unit, lowest, highest)
    weight = np.where(negated[:, None, None, None], -weight, weight)
    return Convolution(
        name="stem",
        input=IMAGE,
        weight=_channels_last(weight),
        weight_bits=IMAGE_WEIGHT_BITS,
        output=_sign(threshold),
        stride=stem.stride,
        padding=stem.padding,
    )


def _binary(layer: BinaryLayer, source: str) -> Convolution:
    weight = layer.weight.detach()
    count = weight[0].numel()
    unit = _float64(weight).reshape(len(weight), -1)
    unit = np.abs(unit).mean(axis=1)
    extreme = np.full(len(weight), count, dtype=np.int64)
    threshold, negated = fold_threshold(layer.normalization, unit, -extreme, extreme)
    positive = (weight >= 0).numpy() ^ negated[:, None, None, None]
    return Convolution(
        name=layer.name,
        input=source,
        weight=_channels_last(np.where(positive, 1, -1)),
        weight_bits=1,
        output=_sign(threshold),
        stride=layer.stride,
        padding=layer.padding,
        padding_level=1,
        groups=len(weight) if layer.depthwise else 1,
    )


def _sign(threshold: NDArray[np.int32]) -> Quantize:
    return Quantize(threshold[None], signed=True)


def _classifier(classifier: Classifier, positions: int) -> QuantizedDense:
    """The mean of +1 and -1 is 2 count / positions - 1: fold that into bias and scale."""
    step = int8_scale(classifier.weight, per_channel=False)
    weight = torch.round(classifier.weight.detach() / step).to(torch.int64).numpy()
    scale = 2 * float(step) / positions
    constant = _float64(classifier.bias) - float(step) * weight.sum(axis=1)
    bias = np.rint(constant / scale).astype(np.int32)
    return QuantizedDense("classifier", "pool", weight.astype(np.int8), bias, np.float32(scale))


def integer_logits(network: IntegerNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """PyTorch's integer evaluation: images uint8 [N, H, W, C] to logits float32 [N, classes]."""
    batches = [
        evaluate_layers(network, images[start : start + _BATCH])[network.layers[-1].name].numpy()
        for start in range(0, len(images), _BATCH)
    ]
    return np.concatenate(batches)


def integer_top1(
    network: IntegerNetwork, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> float:
    """Top-1 accuracy of :func:`integer_logits`, a fraction of 1; the lowest index wins a tie."""
    return float((integer_logits(network, images).argmax(axis=1) == labels).mean())


def _strided(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Output size of a 3x3 convolution with padding 1, or of a pointwise layer."""
    return (size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1


def _float64(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().to(torch.float64).numpy()


def _channels_last(weight: NDArray[np.integer]) -> NDArray[np.int8]:
    """PyTorch's [out, in / groups, k, k] as int8 [out, k, k, in / groups]."""
    return np.ascontiguousarray(weight.transpose(0, 2, 3, 1).astype(np.int8))
