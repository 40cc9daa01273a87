"""The same answer in numpy, ONNX Runtime and the bundle, for networks with every kind of layer."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.network import IntegerNetwork
from bitat_deploy.onnx_format import reference_logits, to_onnx
from bitat_deploy.target import load_target
from tests.drawn_networks import (
    draw_convolution_network,
    draw_images,
    draw_network,
    draw_shortcut_network,
    numpy_logits,
)
from tests.test_bit_for_bit import QEMU, run

NETWORKS = {
    "W2A2": draw_network(21, bits=(2, 2)),
    "W4A4": draw_network(22, bits=(4, 4), signed=False, blocks=((17, 2),)),
    "shortcuts": draw_shortcut_network(23, blocks=1),
    "groups": draw_convolution_network(24, dilation=2, padding=2, bits=(1, 1), signed=True),
}


@pytest.mark.parametrize(("target", "emulator"), [("host", ()), ("rpi4", QEMU)])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_bundle(
    network: IntegerNetwork, target: str, emulator: tuple[str, ...], tmp_path: Path
) -> None:
    if emulator and shutil.which(emulator[0]) is None:
        pytest.skip("needs qemu-aarch64 (Debian's qemu-user)")
    model = tmp_path / "model.onnx"
    onnx.save(to_onnx(network), model)
    images = draw_images(network, 20)
    expected = reference_logits(model, images)
    assert np.array_equal(numpy_logits(network, images), expected)
    bundle = build_bundle(model, load_target(target), tmp_path / "bundle")
    assert np.array_equal(run(bundle, emulator, images, tmp_path), expected)
