from collections.abc import Iterator

import torch

from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.networks import WeightMode, build_network
from bitat_deploy.training.progressive import Progressive
from tests.training.trained_networks import CLASSES, INPUT_SHAPE, SIGN, V1


def test_released_signs_are_those_committed_with_the_trained_magnitudes() -> None:
    torch.manual_seed(0)
    network = build_network(V1, SIGN, INPUT_SHAPE, CLASSES)
    network.set_activations(binary=True)
    images = torch.rand(20, INPUT_SHAPE[2], *INPUT_SHAPE[:2])

    def run() -> Iterator[None]:
        network.eval()
        network(images)
        yield

    layers = list(network.binary_layers())
    trained = [layer.weight.detach().clone() for layer in layers]
    progressive = Progressive(network, BitatOptions(), run)
    for index, layer in enumerate(layers):
        progressive.begin(index)
        progressive.commit(index)
        assert layer.weight_mode is WeightMode.COMMITTED
    committed = [layer.weight.detach().clone() for layer in layers]
    assert any((a.sign() != b.sign()).any() for a, b in zip(trained, committed, strict=True))
    progressive.release(progressive.state())
    for layer, weight, signs in zip(layers, trained, committed, strict=True):
        assert torch.equal(layer.weight.detach(), signs.sign() * weight.abs())
