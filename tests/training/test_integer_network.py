import numpy as np
import pytest
import torch
from torch import nn

from bitat_deploy.network import QuantizedDense
from bitat_deploy.training.data import images_to_tensor
from bitat_deploy.training.integer_evaluation import evaluate_layers
from bitat_deploy.training.integer_network import (
    fold_threshold,
    integer_logits,
    to_integer_network,
)
from bitat_deploy.training.networks import (
    BinaryMobileNet,
    MobileNetShape,
    NormalizedLayer,
    WeightMode,
)
from tests.drawn_networks import draw_images, draw_network, numpy_logits

SHAPE = MobileNetShape((11, 9, 3), 9, 1, ((17, 2), (12, 1)), 10)


def drawn_float_network() -> BinaryMobileNet:
    """Binary, in evaluation mode, with scales of both signs, a zero scale, large biases."""
    torch.manual_seed(5)
    network = BinaryMobileNet(SHAPE)
    network.set_activations(binary=True)
    network.set_weights(WeightMode.BINARY)
    images = images_to_tensor(torch.randint(0, 256, (64, 11, 9, 3), dtype=torch.uint8))
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, NormalizedLayer):
                layer.normalization.weight.normal_()
                layer.normalization.bias.normal_()
                layer.normalization.weight[0] = 0
                layer.normalization.bias[0] = 0
                layer.normalization.weight[1] = 1e-4  # a bit that never changes
                layer.normalization.momentum = None
        network.classifier.bias.normal_()
        network(images)
    return network.to(torch.float64).eval()


def test_integer_and_float_evaluation_agree_in_every_bit() -> None:
    network = drawn_float_network()
    images = draw_images(draw_network(0), 40)
    integer = to_integer_network(network, "drawn", tuple("abcdefghij"), {})
    recorded: list[torch.Tensor] = []
    for module in network.modules():
        if isinstance(module, NormalizedLayer):
            module.register_forward_hook(lambda _m, _i, output: recorded.append(output > 0))
    with torch.no_grad():
        logits = network(images_to_tensor(torch.from_numpy(images)).to(torch.float64))
    values = evaluate_layers(integer, images)
    for layer, bits in zip(integer.layers, recorded, strict=False):
        flips = (values[layer.name] > 0) != bits
        assert not flips.any(), f"{layer.name}: {flips.sum()} bits differ"
    last = integer.layers[-1]
    assert isinstance(last, QuantizedDense)
    np.testing.assert_allclose(integer_logits(integer, images), logits, atol=last.scale)


@pytest.mark.parametrize("seed", range(3))
def test_pytorchs_integer_evaluation_equals_numpys(seed: int) -> None:
    network = draw_network(seed)
    images = draw_images(network, 9, seed)
    assert np.array_equal(integer_logits(network, images), numpy_logits(network, images))


def test_thresholds_by_hand() -> None:
    """gamma (sum - mean) / 2 + beta >= 0 for sums from -9 to 9."""
    normalization = nn.BatchNorm2d(6, eps=0.0).eval()
    with torch.no_grad():
        normalization.running_var.fill_(4.0)
        normalization.running_mean.copy_(torch.tensor([3.0, 3.0, 0.0, 0.0, 100.0, -100.0]))
        normalization.weight.copy_(torch.tensor([1.0, -1.0, 0.0, 0.0, 1.0, 1.0]))
        normalization.bias.copy_(torch.tensor([0.0, 0.0, 0.5, -0.5, 0.0, 0.0]))
    nine = np.full(6, 9)
    threshold, negated = fold_threshold(normalization, np.ones(6), -nine, nine)
    assert negated.tolist() == [False, True, False, False, False, False]
    # sum >= 3; -sum >= -3; always; never; never; always
    assert threshold.tolist() == [3, -3, -9, 10, 10, -9]
