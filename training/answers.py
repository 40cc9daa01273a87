"""Which images a finished run answers rightly."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.datasets import load_dataset
from bitat_deploy.training.checkpoint import load_checkpoint
from bitat_deploy.training.data import ImageSet, split_training, to_image_set
from bitat_deploy.training.evaluation import network_logits
from bitat_deploy.training.integer_network import checkpoint_network, integer_logits
from bitat_deploy.training.recipe import Recipe
from bitat_deploy.training.twin import finished_network


def right_answers(
    checkpoint: Path, data_path: Path | None, *, test: bool = False
) -> NDArray[np.bool_]:
    """For each image whether its class has the largest logit, [N]; the lowest index wins a tie.

    Of the images that the run's recipe holds out for validation, or with ``test`` of all test
    images. Computed in integers, or in floating point where the network's weights are. Raises
    InputError for a checkpoint that is missing or damaged.
    """
    state = load_checkpoint(checkpoint)
    data = _images(state.recipe, data_path, test)
    if state.recipe.sections.exports:
        logits = integer_logits(checkpoint_network(state), data.images.numpy())
    else:
        logits = network_logits(finished_network(state), data.images).numpy()
    right: NDArray[np.bool_] = logits.argmax(axis=1) == data.labels.numpy()
    return right


def _images(recipe: Recipe, data_path: Path | None, test: bool) -> ImageSet:
    split = "test" if test else "train"
    data = recipe.data
    dataset = load_dataset(recipe.dataset, split, data_path, data.image_size, data.held_out)
    chosen = to_image_set(dataset, None) if test else split_training(dataset, data)[1]
    return chosen.middle(data.crop)
