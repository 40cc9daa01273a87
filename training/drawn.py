"""Networks before any training: what one costs on a device, and its training here, depend on no
weight."""

import time

import torch

from bitat_deploy.network import IntegerNetwork
from bitat_deploy.training.integer_network import to_integer_network
from bitat_deploy.training.networks import QuantizedNetwork, build_network
from bitat_deploy.training.recipe import Recipe

_IMAGES = 8  # for the quantizers' first steps and the statistics
_STEPS = 3  # of the fastest of which the time is taken


def drawn_network(
    recipe: Recipe, input_shape: tuple[int, int, int], class_names: tuple[str, ...]
) -> IntegerNetwork:
    """The integer network of a recipe with drawn weights.

    ``input_shape`` is (height, width, channels). Its batch normalisations fit drawn images, so that
    activations vary. Raises InputError where the recipe contradicts itself.
    """
    network, images = _drawn(recipe, input_shape, len(class_names))
    network.calibrate([images])
    recipe.stages(network)[-1].configure()
    with torch.no_grad():
        network.train()
        network(images)
    network.eval()
    metadata = {"weights": "drawn, not trained", "seed": str(recipe.seed)}
    return to_integer_network(network, recipe.name, class_names, metadata)


def seconds_per_image(recipe: Recipe, input_shape: tuple[int, int, int], classes: int) -> float:
    """How long training takes for one image, by a few steps of the full-precision twin here."""
    network, images = _drawn(recipe, input_shape, classes, recipe.data.batch_size)
    network.train()
    times = []
    for _ in range(_STEPS):
        began = time.perf_counter()
        network(images).logsumexp(dim=1).sum().backward()
        times.append(time.perf_counter() - began)
    return min(times) / len(images)


def _drawn(
    recipe: Recipe, input_shape: tuple[int, int, int], classes: int, count: int = _IMAGES
) -> tuple[QuantizedNetwork, torch.Tensor]:
    """The network and drawn images [count, C, H, W] in [0, 1]."""
    height, width, channels = input_shape
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        network = build_network(recipe.network, recipe.quantization, input_shape, classes)
        images = torch.rand(count, channels, height, width)
    return network, images.to(memory_format=torch.channels_last)
