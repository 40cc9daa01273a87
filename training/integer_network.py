"""From trained floats to the packed integer chain, and PyTorch's own evaluation of that chain."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.network import (
    BinaryDepthwiseConv,
    BinaryPointwiseConv,
    GlobalBitCount,
    IntegerNetwork,
    Layer,
    QuantizedConv,
    QuantizedDense,
)
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint
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
        layers.append(_binary(layer))
        size = _strided(size, layer.stride)
    layers.append(GlobalBitCount("pool"))
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


def _stem(stem: QuantizedStem) -> QuantizedConv:
    scale = int8_scale(stem.weight, per_channel=True)
    weight = torch.round(stem.weight.detach() / scale).to(torch.int64).numpy()
    taps = weight.reshape(len(weight), -1)
    lowest = 255 * np.minimum(taps, 0).sum(axis=1)
    highest = 255 * np.maximum(taps, 0).sum(axis=1)
    unit = _float64(scale).reshape(-1) / 255  # the training's image is pixel / 255
    threshold, negated = fold_threshold(stem.normalization, unit, lowest, highest)
    weight = np.where(negated[:, None, None, None], -weight, weight)
    return QuantizedConv(
        "stem",
        _contiguous(weight.transpose(0, 2, 3, 1), np.int8),
        threshold,
        stem.stride,
        stem.padding,
    )


def _binary(layer: BinaryLayer) -> BinaryDepthwiseConv | BinaryPointwiseConv:
    weight = layer.weight.detach()
    count = weight[0].numel()
    unit = _float64(weight).reshape(len(weight), -1)
    unit = np.abs(unit).mean(axis=1)
    extreme = np.full(len(weight), count, dtype=np.int64)
    threshold, negated = fold_threshold(layer.normalization, unit, -extreme, extreme)
    bits = (weight >= 0).numpy() ^ negated[:, None, None, None]
    if layer.depthwise:
        kernel = _contiguous(bits[:, 0].transpose(1, 2, 0), np.uint8)
        return BinaryDepthwiseConv(layer.name, kernel, threshold, layer.stride, layer.padding)
    return BinaryPointwiseConv(layer.name, _contiguous(bits[:, :, 0, 0], np.uint8), threshold)


def _classifier(classifier: Classifier, positions: int) -> QuantizedDense:
    """The mean of +1 and -1 is 2 count / positions - 1: fold that into bias and scale."""
    step = int8_scale(classifier.weight, per_channel=False)
    weight = torch.round(classifier.weight.detach() / step).to(torch.int64).numpy()
    scale = 2 * float(step) / positions
    constant = _float64(classifier.bias) - float(step) * weight.sum(axis=1)
    bias = np.rint(constant / scale).astype(np.int32)
    return QuantizedDense("classifier", weight.astype(np.int8), bias, np.float32(scale))


def integer_logits(network: IntegerNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """PyTorch's integer evaluation: images uint8 [N, H, W, C] to logits float32 [N, classes].

    All sums are integers below 2^24, which float32 convolutions add without rounding.
    """
    with torch.no_grad():
        batches = [
            _evaluate(network, torch.from_numpy(images[i : i + _BATCH].copy()))
            for i in range(0, len(images), _BATCH)
        ]
    return np.concatenate(batches)


def integer_top1(
    network: IntegerNetwork, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> float:
    """Top-1 accuracy of :func:`integer_logits`, a fraction of 1; the lowest index wins a tie."""
    return float((integer_logits(network, images).argmax(axis=1) == labels).mean())


def _evaluate(network: IntegerNetwork, images: Tensor) -> NDArray[np.float32]:
    values = images.permute(0, 3, 1, 2).to(torch.float32)
    for layer in network.layers:
        values = _apply(layer, values)
    return values.numpy()


def _apply(layer: Layer, values: Tensor) -> Tensor:
    """One layer: pixels or signs in {-1, +1} [N, C, H, W] (counts, logits [N, C] at the end)."""
    if isinstance(layer, QuantizedConv):
        weight = torch.tensor(layer.weight, dtype=torch.float32).permute(0, 3, 1, 2)
        sums = functional.conv2d(values, weight, stride=layer.stride, padding=layer.padding)
        return _signs(sums, layer.threshold)
    if isinstance(layer, BinaryDepthwiseConv):
        weight = _plus_minus(layer.weight).permute(2, 0, 1).unsqueeze(1)
        padded = functional.pad(values, (layer.padding,) * 4, value=1.0)
        sums = functional.conv2d(padded, weight, stride=layer.stride, groups=values.shape[1])
        return _signs(sums, layer.threshold)
    if isinstance(layer, BinaryPointwiseConv):
        weight = _plus_minus(layer.weight)[:, :, None, None]
        return _signs(functional.conv2d(values, weight), layer.threshold)
    if isinstance(layer, GlobalBitCount):
        return (values > 0).sum(dim=(2, 3), dtype=torch.int32)
    sums = values.to(torch.int64) @ torch.from_numpy(layer.weight.T.astype(np.int64))
    sums = sums + torch.from_numpy(layer.bias.astype(np.int64))
    return sums.to(torch.float32) * torch.tensor(layer.scale, dtype=torch.float32)


def _signs(sums: Tensor, threshold: NDArray[np.int32]) -> Tensor:
    limits = torch.from_numpy(threshold).to(torch.float32)[:, None, None]
    return torch.where(sums >= limits, 1.0, -1.0)


def _plus_minus(bits: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(bits.astype(np.float32) * 2 - 1)


def _strided(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Output size of a 3x3 convolution with padding 1, or of a pointwise layer."""
    return (size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1


def _float64(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().to(torch.float64).numpy()


def _contiguous(array: NDArray, kind: type) -> NDArray:
    return np.ascontiguousarray(array.astype(kind))
