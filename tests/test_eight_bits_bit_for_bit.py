"""One answer in PyTorch, numpy, ONNX Runtime and the bundle, for networks with 8-bit layers."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.onnx_format import read_network, reference_logits, to_onnx
from bitat_deploy.target import load_target
from bitat_deploy.training.integer_network import integer_logits, to_integer_network
from tests.drawn_networks import draw_images, numpy_logits
from tests.test_bit_for_bit import QEMU, run
from tests.training.trained_networks import SIGN, V1, V2, Kind, of_block, trained, uniq

KINDS = {
    "MobileNetV1 W8A8": Kind(V1, uniq(8, 8)),
    "MobileNetV2 W8A8": Kind(of_block(V2, "shortcut"), uniq(8, 8, signed=True)),
    "W1A1, 8-bit depthwise": Kind(V1, replace(SIGN, depthwise=False)),
}


@pytest.mark.parametrize(("target", "emulator"), [("host", ()), ("rpi4", QEMU)])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_bundle(kind: Kind, target: str, emulator: tuple[str, ...], tmp_path: Path) -> None:
    if emulator and shutil.which(emulator[0]) is None:
        pytest.skip("needs qemu-aarch64 (Debian's qemu-user)")
    network = to_integer_network(trained(kind), "drawn", tuple("abcdefghij"), {})
    images = draw_images(network, 20)
    expected = numpy_logits(network, images)
    assert np.array_equal(integer_logits(network, images), expected)
    model = tmp_path / "model.onnx"
    onnx.save(to_onnx(network), model)
    assert np.array_equal(reference_logits(model, images), expected)
    assert np.array_equal(numpy_logits(read_network(model), images), expected)
    bundle = build_bundle(model, load_target(target), tmp_path / "bundle")
    assert np.array_equal(run(bundle, emulator, images, tmp_path), expected)
