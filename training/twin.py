"""Networks of other runs: the full-precision twin to start from, and the teacher."""

from pathlib import Path

import torch

from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint
from bitat_deploy.training.networks import QuantizedNetwork, build_network
from bitat_deploy.training.quantizers import nonlinearity_of
from bitat_deploy.training.recipe import Recipe


def load_twin(path: Path, recipe: Recipe, network: QuantizedNetwork) -> None:
    """Load the parameters of a finished full-precision run of the same network.

    Raises InputError where the checkpoint is of another network, method or data set, or of an
    unfinished run.
    """
    checkpoint = load_checkpoint(path)
    other = checkpoint.recipe
    if other.sections.quantizes:
        raise InputError(
            f"init '{path}' is of method '{other.method}'; give a run in full precision"
        )
    if checkpoint.result is None:
        raise InputError(f"init '{path}' is of an unfinished run; finish it first")
    for what, own, its in (
        ("network", recipe.network, other.network),
        ("quantization.quantizer", recipe.quantization.quantizer, other.quantization.quantizer),
        ("nonlinearity", *map(nonlinearity_of, (recipe.quantization, other.quantization))),
        ("dataset", recipe.dataset, other.dataset),
        ("image size", network.input_shape, checkpoint.input_shape),
    ):
        if own != its:
            raise InputError(f"init '{path}' is of another {what}: {its}, the recipe has {own}")
    network.load_twin(checkpoint.network)


def load_teacher(
    path: Path, class_names: tuple[str, ...], input_shape: tuple[int, int, int]
) -> QuantizedNetwork:
    """A finished run's network as it ended, in evaluation mode: any network and method.

    Raises InputError for a teacher of other classes or images.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.class_names != class_names or checkpoint.input_shape != input_shape:
        raise InputError(f"the teacher '{path}' was trained for other classes or image sizes")
    if checkpoint.result is None:
        raise InputError(f"the teacher '{path}' is of an unfinished run; finish it first")
    with torch.random.fork_rng():  # a resumed run draws what a whole one does
        return finished_network(checkpoint)


def finished_network(checkpoint: Checkpoint) -> QuantizedNetwork:
    """The network of a checkpoint in the state of its run's last stage, in evaluation mode.

    Raises InputError where the weights do not fit the recipe.
    """
    recipe = checkpoint.recipe
    network = build_network(
        recipe.network, recipe.quantization, checkpoint.input_shape, len(checkpoint.class_names)
    )
    try:
        network.load_state_dict(checkpoint.network)
    except RuntimeError as error:
        raise InputError(
            f"the checkpoint's weights do not fit its recipe '{recipe.name}'; it is damaged"
        ) from error
    recipe.stages(network)[-1].configure()
    return network.eval()
