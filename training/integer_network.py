"""From trained floats to the integer network, and its evaluation in PyTorch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.datasets import dataset_shape
from bitat_deploy.errors import InputError
from bitat_deploy.network import OWN, IntegerNetwork, Preprocessing
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint, read_document
from bitat_deploy.training.folding import fold_layers
from bitat_deploy.training.integer_evaluation import evaluate_layers
from bitat_deploy.training.networks import QuantizedNetwork
from bitat_deploy.training.own_network import FORMAT, network_of_document
from bitat_deploy.training.recipe import Recipe
from bitat_deploy.training.twin import finished_network

_BATCH = 128


def load_checkpoint_network(path: Path) -> IntegerNetwork:
    """Read a checkpoint, of a run or of ``binarize``, and convert its network to integers.

    Raises InputError when the file is missing, damaged or of another version.
    """
    document = read_document(path)
    if document["format"] == FORMAT:
        return network_of_document(document, path)
    return checkpoint_network(load_checkpoint(path))


def checkpoint_network(checkpoint: Checkpoint) -> IntegerNetwork:
    """The integer network of a checkpoint, with its metadata.

    Raises InputError for a network that is not quantized, or whose weights do not fit.
    """
    recipe = checkpoint.recipe
    if not recipe.sections.exports:
        raise InputError(
            f"the network of '{recipe.name}' has weights in full precision (method "
            f"'{recipe.method}'); quantize them first: bitat-deploy quantize CHECKPOINT"
        )
    metadata = {
        "dataset": recipe.dataset,
        "recipe": recipe.name,
        "seed": str(recipe.seed),
        "method": recipe.sections.description(),
    }
    if recipe.data.held_out is not None:
        metadata |= recipe.data.held_out.metadata()
    if checkpoint.top1 is not None:
        metadata |= {"top1": f"{checkpoint.top1:.4f}", "images": str(checkpoint.test_images)}
    network = finished_network(checkpoint)
    integers = to_integer_network(network, recipe.name, checkpoint.class_names, metadata)
    return replace(integers, preprocessing=_preprocessing(recipe))


def _preprocessing(recipe: Recipe) -> Preprocessing:
    """What training did to pictures before the network saw them."""
    if recipe.data.crop is None:
        return OWN
    known = dataset_shape(recipe.dataset, recipe.data.image_size)
    side = recipe.data.image_size
    if known is not None:
        return replace(OWN, resized_to=known[0][:2])
    return replace(OWN, fit="middle") if side is None else replace(OWN, resized_to=(side, side))


def to_integer_network(
    network: QuantizedNetwork, name: str, class_names: tuple[str, ...], metadata: dict[str, str]
) -> IntegerNetwork:
    """Fold every batch normalisation, activation and scale into integers.

    Layers count with their quantized weights and activations, whatever their mode is. What cannot
    be folded, and errors: see :func:`~bitat_deploy.training.folding.fold_layers`.
    """
    layers = fold_layers(network)
    return IntegerNetwork(name, network.input_shape, layers, class_names, metadata)


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
