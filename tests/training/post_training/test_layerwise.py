"""Whole networks, quantized layer by layer: exact on the device, and near to the reference."""

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from bitat_deploy.errors import InputError
from bitat_deploy.onnx_format import reference_logits, to_onnx
from bitat_deploy.training.data import images_to_tensor
from bitat_deploy.training.integer_network import integer_logits, to_integer_network
from bitat_deploy.training.networks import BinaryLayer, QuantizedNetwork
from bitat_deploy.training.post_training import (
    LayerRecord,
    PostTrainingRecipe,
    quantize_layers,
)
from bitat_deploy.training.quantizers import WeightMode
from tests.drawn_networks import numpy_logits
from tests.training.trained_networks import (
    REACTNET,
    SIGN,
    V1,
    V2,
    Kind,
    draw_images,
    of_block,
    trained,
    uniq,
)

NAMES = tuple("abcdefghij")
SHORTCUT = of_block(V1, "shortcut")
KINDS = [
    *(Kind(SHORTCUT, uniq(bits, 5 - bits, per_channel=True)) for bits in (1, 2, 3, 4)),
    *(Kind(V1, uniq(bits, bits, per_channel=True)) for bits in (1, 2, 3, 4)),
    Kind(SHORTCUT, SIGN),
    Kind(V1, SIGN),
    Kind(SHORTCUT, uniq(8, 8, per_channel=True)),
    Kind(V1, uniq(1, 8, per_channel=True)),
    Kind(REACTNET, SIGN),
    Kind(of_block(V2, "shortcut"), uniq(2, 4, per_channel=True, signed=True)),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pair(kind: Kind) -> tuple[QuantizedNetwork, QuantizedNetwork, torch.Tensor]:
    """Reference and network with the same real weights, and images [N, C, H, W]."""
    network = trained(kind).float()
    network.set_weights(WeightMode.FULL)
    reference = copy.deepcopy(network)
    reference.set_activations(kind.quantization.quantizer == "sign")
    images = images_to_tensor(draw_images(60))
    network.calibrate([images])
    return reference, network, images


def quantized(kind: Kind, recipe: PostTrainingRecipe) -> tuple[QuantizedNetwork, list[LayerRecord]]:
    reference, network, images = pair(kind)
    records: list[LayerRecord] = []
    quantize_layers(reference, network, lambda: images.split(25), recipe, records.append)
    return network, records


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_pytorch_numpy_and_onnx_runtime_give_one_answer(kind: Kind) -> None:
    network, records = quantized(kind, PostTrainingRecipe())
    assert [record.name for record in records] == [x.name for x in network.binary_layers()]
    for layer in network.binary_layers():
        levels, _ = layer.quantizer.levels(layer.weight)
        bits = kind.quantization.weight_bits
        assert np.abs(levels).max() <= (127 if bits == 8 else 2**bits - 1)
        assert torch.allclose(layer.quantizer(layer.weight), layer.weight, rtol=1e-5)
    integer = to_integer_network(network, "drawn", NAMES, {})
    images = draw_images(5).numpy()
    expected = numpy_logits(integer, images)
    assert np.array_equal(integer_logits(integer, images), expected)
    assert np.array_equal(reference_logits(to_onnx(integer), images), expected)
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("kind", [KINDS[1], KINDS[5], KINDS[8]], ids=str)
def test_normalisations_have_the_statistics_of_the_levels(kind: Kind) -> None:
    """With all positions looked at, the moments are those of the same images' sums."""
    reference, network, images = pair(kind)
    quantize_layers(reference, network, lambda: [images], PostTrainingRecipe(positions=10**6))
    for layer in network.binary_layers():
        seen: list[torch.Tensor] = []
        handle = layer.register_forward_pre_hook(lambda _m, i, seen=seen: seen.append(i[0]))
        with torch.no_grad():
            network(images)
            sums = layer.sums(seen[0])
        handle.remove()
        variance, mean = torch.var_mean(sums, dim=(0, 2, 3), correction=0)
        size = variance.max().sqrt()
        torch.testing.assert_close(
            layer.normalization.running_mean, mean, atol=1e-4 * float(size), rtol=1e-4
        )
        torch.testing.assert_close(
            layer.normalization.running_var, variance, atol=1e-4 * float(size) ** 2, rtol=1e-3
        )


def test_many_bits_come_near_to_the_reference() -> None:
    kind = Kind(SHORTCUT, uniq(8, 8, per_channel=True))
    reference, own, images = pair(kind)
    quantize_layers(reference, own, lambda: [images], PostTrainingRecipe(ridge=1e-4))
    with torch.no_grad():
        wanted, answers = reference(images), own(images)
    assert float((answers - wanted).square().mean() / wanted.var()) < 0.002


def test_the_stream_target_beats_the_weights_themselves() -> None:
    errors = {}
    for target in ("stream", "weights"):
        _, records = quantized(KINDS[1], PostTrainingRecipe(target=target))
        errors[target] = records[-1].relative_output_error
    assert errors["stream"] < 0.9 * errors["weights"]


def test_gammas_are_kept_or_fitted() -> None:
    reference, _, _ = pair(KINDS[8])
    kept, _ = quantized(KINDS[8], PostTrainingRecipe(gamma="keep"))
    fitted, _ = quantized(KINDS[8], PostTrainingRecipe(gamma="fit"))
    chosen, _ = quantized(KINDS[8], PostTrainingRecipe())
    for one, two in zip(kept.binary_layers(), chosen.binary_layers(), strict=True):
        assert torch.equal(one.normalization.weight, two.normalization.weight)
    for one, two, before in zip(
        kept.binary_layers(), fitted.binary_layers(), reference.binary_layers(), strict=True
    ):
        gamma = before.normalization.weight
        assert torch.equal(one.normalization.weight, gamma.abs())
        assert not torch.allclose(two.normalization.weight, gamma.abs())


def test_a_channel_that_never_varies_is_no_matter() -> None:
    """Its inputs are one code for all images: their covariance is 0."""
    reference, network, images = pair(KINDS[0])
    for part in (reference, network):
        with torch.no_grad():
            part.stem.normalization.weight[3] = 0
            part.stem.normalization.bias[3] = -5
    quantize_layers(reference, network, lambda: [images], PostTrainingRecipe(prior=False))
    assert all(value.isfinite().all() for value in network.state_dict().values())
    with torch.no_grad():
        assert network(images).isfinite().all()


def test_a_shared_step_cannot_hold_the_scales() -> None:
    layer = next(iter(trained(Kind(V1, uniq(2, 2))).binary_layers()))
    assert isinstance(layer, BinaryLayer)
    with pytest.raises(InputError, match="per_channel must be true"):
        layer.commit(torch.ones(layer.groups, 9, 1), torch.ones(layer.groups, 1, 1))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rounding": "stochastic"}, "rounding must be one of adaround, descent, gptq, nearest"),
        ({"target": "loss"}, "target must be one of stream, weights"),
        ({"gamma": "none"}, "gamma must be one of auto, fit, keep"),
        ({"ridge": -1.0}, "ridge must not be negative"),
        ({"positions": 0}, "positions must be positive"),
    ],
)
def test_wrong_values_are_named(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        replace(PostTrainingRecipe(), **changes)  # type: ignore[arg-type]
