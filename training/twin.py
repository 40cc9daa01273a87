"""Networks of other runs: the full-precision twin to start from, and the teacher."""

from pathlib import Path

import torch
from torch import Tensor

from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint
from bitat_deploy.training.networks import QuantizedNetwork, build_network
from bitat_deploy.training.pretrained import is_torchvision, load_torchvision, load_zoo
from bitat_deploy.training.quantizers import nonlinearity_of
from bitat_deploy.training.recipe import Recipe
from bitat_deploy.zoo import zoo_names

_SHAPES = ("network", "number of channels")  # what full_precision cannot make up for


def load_twin(
    path: Path, recipe: Recipe, network: QuantizedNetwork, class_names: tuple[str, ...]
) -> str:
    """Load the parameters of a finished full-precision run, of torchvision's MobileNetV2, or, for a
    name of the zoo, the weights of that network.

    Where the recipe then trains the twin (``full_precision``), the run may be of other classes,
    for which the classifier stays as it is, of another data set, image size, and nonlinearity.
    Gives a sentence on what was taken. Raises InputError where the file is of another network,
    method or data set, or of an unfinished run.
    """
    trains = recipe.full_precision is not None
    if str(path) in zoo_names():
        if not trains:
            raise InputError(
                f"init '{path}' is a network of the zoo, whose weights have few bits: give "
                "full_precision too, which trains it further"
            )
        taken, layers = load_zoo(str(path), network)
        return f"began with the weights of {taken} of {layers} layers of the zoo's '{path}'"
    pretrained = torchvision_state(path)
    if pretrained is not None:
        if not trains:
            raise InputError(
                f"init '{path}' is a state_dict of torchvision: give full_precision too, which "
                "trains it further for these images and classes"
            )
        taken, layers = load_torchvision(pretrained, network)
        return f"began with {taken} of {layers} layers of torchvision's network '{path}'"
    checkpoint = load_checkpoint(path)
    other = checkpoint.recipe
    if other.sections.quantizes:
        raise InputError(
            f"init '{path}' is of method '{other.method}'; give a run in full precision"
        )
    if checkpoint.result is None:
        raise InputError(f"init '{path}' is of an unfinished run; finish it first")
    own_quantization, its_quantization = recipe.quantization, other.quantization
    alike: list[tuple[str, object, object]] = [("network", recipe.network, other.network)]
    alike += [("number of channels", network.input_shape[2], checkpoint.input_shape[2])]
    if not trains:
        alike += [
            ("quantization.quantizer", own_quantization.quantizer, its_quantization.quantizer),
            ("nonlinearity", nonlinearity_of(own_quantization), nonlinearity_of(its_quantization)),
            ("dataset", recipe.dataset, other.dataset),
            ("image size", network.input_shape, checkpoint.input_shape),
            ("list of classes", class_names, checkpoint.class_names),
        ]
    for what, own, its in alike:
        if own != its:
            more = "; with full_precision it is trained further" if what not in _SHAPES else ""
            raise InputError(
                f"init '{path}' is of another {what}: {its}, the recipe has {own}{more}"
            )
    same = class_names == checkpoint.class_names
    network.load_twin(checkpoint.network, classifier=same)
    return f"began with '{path}'" + ("" if same else ", the classifier made anew")


def torchvision_state(path: Path) -> dict[str, Tensor] | None:
    """The state_dict of torchvision's MobileNetV2 at ``path``, None where it is something else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged pickle can raise anything; load_checkpoint says what is wrong
        return None
    return state if is_torchvision(state) else None


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
