"""BiTAT as the beginning of training: latent weights that keep the levels and know the doubt."""

import pytest
import torch

from bitat_deploy.errors import InputError
from bitat_deploy.training.networks import build_network
from bitat_deploy.training.quantizers import WeightMode
from bitat_deploy.training.recipe import Recipe, recipe_from_mapping
from bitat_deploy.training.rounding import (
    ROUNDINGS,
    Rounded,
    latent_weights,
    nearest_levels,
    output_errors,
)
from tests.training.post_training.small_runs import CLASSES, SHAPE, STAGE, values

UNIQ = {"quantizer": "uniq", "weight_bits": 2, "activation_bits": 3, "per_channel": True}
MIXED = {"quantizer": "sign", "layer_bits": {"*.depthwise": 4, "block0.pointwise": 8}}


def recipe(quantization: dict[str, object]) -> Recipe:
    given = values(method="bitat-start", quantization=quantization)
    return recipe_from_mapping(given | {"binary_activations": STAGE, "quantized": STAGE})


def drawn(bits: int) -> tuple[torch.Tensor, torch.Tensor, Rounded]:
    generator = torch.Generator().manual_seed(bits)
    rows = torch.randn(2, 200, 12, generator=generator, dtype=torch.float64)
    rows[..., 1:] += 0.8 * rows[..., :-1]
    second_moment = rows.transpose(1, 2) @ rows / 200
    target = torch.randn(2, 12, 5, generator=generator, dtype=torch.float64)
    return second_moment, target, ROUNDINGS["descent"](second_moment, target, bits)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_latent_weights_have_the_chosen_levels(bits: int) -> None:
    second_moment, target, rounded = drawn(bits)
    latent = latent_weights(second_moment, target, rounded, bits)
    assert torch.equal(nearest_levels(latent / rounded.alpha, bits), rounded.levels)


def test_a_latent_weight_is_the_best_value_while_the_others_stay() -> None:
    second_moment, target, rounded = drawn(1)
    latent = latent_weights(second_moment, target, rounded, 1)
    for index in range(12):
        weight = rounded.weight()
        weight[:, index] = latent[:, index]
        best = output_errors(second_moment, target - weight)
        for change in (-0.01, 0.01):
            weight[:, index] = latent[:, index] + change
            worse = output_errors(second_moment, target - weight) > best
            # A sign that descent would turn, were it not for alpha, is held at 0 instead.
            assert (worse | (latent[:, index : index + 1].abs() < 0.1)).all()


@pytest.mark.parametrize("quantization", [{"quantizer": "sign"}, UNIQ, MIXED], ids=str)
def test_training_begins_with_the_levels_of_the_descent(quantization: dict[str, object]) -> None:
    built = recipe(quantization)
    torch.manual_seed(1)
    network = build_network(built.network, built.quantization, SHAPE, len(CLASSES))
    images = torch.rand(32, 3, 16, 16)
    _, activations, levels, joint = built.stages(network)
    for stage in (activations, levels):
        stage.configure()
        stage.begin(lambda: iter([images]))
        stage.configure()
    layers = list(network.binary_layers())
    before = {layer.name: layer.quantizer.levels(layer.weight) for layer in layers}
    joint.configure()
    joint.begin(lambda: iter([images]))
    for layer in layers:
        now, step = layer.quantizer.levels(layer.weight)
        assert (now == before[layer.name][0]).all()
        assert (step == before[layer.name][1]).all()
        assert layer.weight_mode is WeightMode.BINARY
        if layer.weight_bits < 8:  # 8 bits are next to real weights
            assert len(layer.weight.unique()) > 2**layer.weight_bits * len(layer.weight) / 2


def test_a_shared_step_is_refused_before_training() -> None:
    built = recipe(UNIQ | {"per_channel": False})
    network = build_network(built.network, built.quantization, SHAPE, len(CLASSES))
    with pytest.raises(InputError, match="per_channel must be true"):
        built.stages(network)
