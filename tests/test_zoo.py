"""The zoo's networks give today the logits that they were published with."""

import hashlib

import numpy as np
import pytest

from bitat_deploy.network import evaluate
from bitat_deploy.onnx_format import read_network
from bitat_deploy.zoo import resolve_model, zoo_names

# sha256 of the logits of 32 drawn images; the first three are those of commit 8ffcb09, too.
PUBLISHED = {
    "cifar-10-w1a1": "18be732cf9ccb673665277b0afc52306b325d18539df838f28c62e54588720be",
    "fashion-mnist-mobilenet": "349859d0a0d10d1f2e7449cb8d4749271ce9520a37d69a86c25d6f1137ea9e20",
    "fashion-mnist-shortcut": "df3ac2e23aca3893ce3378472b457a2991d2a1ab72533bb6ae903eb90c7974c5",
    "fashion-mnist-uniq-w2a2": "2e2d3e52de12728365d5e64c33a47eea7483d7bbd00281cb9ce1a5dd51bf3337",
    "photos-128-mixed": "d5e5b5703078869108715fa33b42754221b8e203116ce4f939c59aa32bb38ba1",
    "photos-128-w1a1": "dc7fe6322972bd4d5cbebd13d39cd991c9f084c63b080d2e3e7d74aeaa6ca497",
    "photos-128-w1a2": "bbd8bafa0cdde0987bcbe12aebff1c42fe7fc25962e6db8a450ec23777fc6271",
    "photos-128-w2a2": "b17ee0ff1d7163ea00f946c1f7080d8c7f611cc68354a82bd1d330a783a712ba",
    "traffic-signs-w1a1": "ceda2be7bc168aed4143e391b70bec0519ca5389c63e0f74dd8a156863f6e7b4",
    "traffic-signs-w1a2": "b02d1fed717d0af486b3d16759e1dc6ea89183a488aef1dcac40d4dcb2a23989",
}


@pytest.mark.parametrize("name", zoo_names())
def test_logits_are_those_published(name: str) -> None:
    network = read_network(resolve_model(name))
    images = np.random.default_rng(0).integers(0, 256, (32, *network.input_shape), np.uint8)
    logits = evaluate(network, images)[network.layers[-1].name]
    assert logits.dtype == np.float32
    assert hashlib.sha256(logits.tobytes()).hexdigest() == PUBLISHED[name]
