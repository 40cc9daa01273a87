"""A run's accuracy on the test images, of the integer network where there is one."""

from pathlib import Path
from typing import Any

from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint
from bitat_deploy.training.data import ImageSet
from bitat_deploy.training.evaluation import network_top1
from bitat_deploy.training.integer_network import checkpoint_network, integer_top1
from bitat_deploy.training.networks import QuantizedNetwork


def evaluate(state: Checkpoint, network: QuantizedNetwork, test: ImageSet) -> dict[str, Any]:
    """``top1`` in integers, or in floating point where the network has no integer form.

    ``network`` is the run's, configured for its last stage. ``float_top1`` is always there;
    ``evaluation`` says which one ``top1`` is, ``why_float`` why there are no integers.
    ``twin_top1`` is that of the full-precision twin that the run began with, None where it is not
    known. Without test images there is none.
    """
    if not len(test):
        return {"images": 0, "float_top1": None, "top1": None, "evaluation": "none"}
    float_top1 = network_top1(network, test)
    result: dict[str, Any] = {"images": len(test), "float_top1": float_top1}
    if not state.recipe.sections.quantizes:
        return {**result, "top1": float_top1, "evaluation": "floating point"}
    result["twin_top1"] = _twin_top1(state, len(test))
    try:
        integers = checkpoint_network(state)
    except InputError as error:
        why = {"evaluation": "floating point", "why_float": str(error)}
        return {**result, "top1": float_top1, **why}
    top1 = integer_top1(integers, test.images.numpy(), test.labels.numpy())
    return {**result, "top1": top1, "evaluation": "integer"}


def _twin_top1(state: Checkpoint, images: int) -> float | None:
    """As the run measured it, or the run that it was read from, on as many of the images."""
    for record in state.history:
        if "test_top1" in record:
            top1: float | None = record["test_top1"]
            return top1
    init = state.recipe.init
    if init is None:
        return None
    try:
        other = load_checkpoint(Path(init))
    except InputError:  # moved since
        return None
    same = other.class_names == state.class_names and other.test_images == images
    return other.result["float_top1"] if same and other.result is not None else None
