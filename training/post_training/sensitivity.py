"""How much a network's answers suffer if one layer alone has weights of few bits [R]."""

import copy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from bitat_deploy.training.augmentation import middle
from bitat_deploy.training.checkpoint import Checkpoint
from bitat_deploy.training.data import images_to_tensor
from bitat_deploy.training.networks import QuantizedNetwork, build_network
from bitat_deploy.training.post_training.layerwise import (
    LayerPair,
    PostTrainingRecipe,
    layer_pairs,
    layer_problem,
    set_normalization,
    small_batches,
)
from bitat_deploy.training.post_training.quantize import (
    QuantizeOptions,
    quantization_recipe,
    reference_network,
    take_over,
)
from bitat_deploy.training.quantizers import WeightMode
from bitat_deploy.training.rounding import ROUNDINGS

Sensitivities = dict[str, dict[int, float]]


def layer_sensitivities(
    checkpoint: Checkpoint,
    path: Path,
    photos: Tensor,
    activation_bits: int,
    bits: Sequence[int],
    watch: Callable[[str], None] = lambda name: None,
) -> Sensitivities:
    """For each binary layer and number of bits: the divergence of the network's answers.

    On ``photos`` uint8 [N, H, W, C] without labels, or their middle where the recipe crops: the
    mean KL divergence, in nats, of the class probabilities with that layer's weights quantized from
    those with real weights, all activations having ``activation_bits``. A layer is quantized as
    ``bitat-deploy quantize`` would, on the inputs that real weights give it. ``watch`` is told each
    layer's name. Raises InputError where the checkpoint's network cannot be quantized so.
    """
    reference = reference_network(checkpoint, path)
    options = QuantizeOptions(8, activation_bits)
    recipe = quantization_recipe(checkpoint, path, reference, len(photos), options)
    network = build_network(
        recipe.network, recipe.quantization, checkpoint.input_shape, len(checkpoint.class_names)
    )
    take_over(reference, network)

    def images() -> Iterable[Tensor]:
        for batch in middle(photos, recipe.data.crop).split(100):
            yield images_to_tensor(batch)

    network.set_activations(binary=True)
    if not recipe.sections.post_training.binary_activations:  # type: ignore[attr-defined]
        network.calibrate(images())
    real = copy.deepcopy(network.eval())
    pairs = layer_pairs(real, network)
    wanted = _answers(network, images)
    found: Sensitivities = {}
    for name, pair in pairs.items():
        watch(name)
        found[name] = _of_layer(pair, wanted, images, bits)
    return found


@torch.no_grad()
def _of_layer(
    pair: LayerPair,
    wanted: Tensor,
    images: Callable[[], Iterable[Tensor]],
    bits: Sequence[int],
) -> dict[int, float]:
    """One layer, which is then as before."""
    layer, recipe = pair.layer, PostTrainingRecipe()
    problem = layer_problem(pair, images, recipe)
    before = copy.deepcopy(layer.state_dict())
    found = {}
    for count in bits:
        rounded = ROUNDINGS[recipe.rounding](problem.metric, problem.target, count)
        layer.weight.copy_(layer.ungrouped(rounded.weight()))
        layer.weight_mode = WeightMode.COMMITTED
        set_normalization(layer, problem.moments, rounded, recipe.fits(count))
        answers = _answers(pair.network, images)
        found[count] = float((wanted.exp() * (wanted - answers)).sum(dim=1).mean())
        layer.load_state_dict(before)
        layer.weight_mode = WeightMode.FULL
    return found


@torch.no_grad()
def _answers(network: QuantizedNetwork, images: Callable[[], Iterable[Tensor]]) -> Tensor:
    """Logarithms of the class probabilities, float64 [N, classes]."""
    logits = [network(batch) for batch in small_batches(images())]
    return torch.cat(logits).double().log_softmax(dim=1)
