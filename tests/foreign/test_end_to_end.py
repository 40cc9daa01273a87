"""Networks from elsewhere build for this machine, and the runner gives the file's predictions.

brevitas.onnx was trained and exported by export_brevitas.py; brevitas.npz holds what Brevitas
itself answers.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bitat_deploy.bundle import read_bundle
from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.datasets import Dataset
from bitat_deploy.device import bench, classify, connect
from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.network import Preprocessing, Supplement
from bitat_deploy.target import load_target
from tests.foreign.answers import differences
from tests.foreign.drawn_models import Model

BREVITAS = Path(__file__).with_name("brevitas.onnx")
QUICK = BenchOptions(min_seconds=0, profile_runs=3)


def test_a_network_trained_with_brevitas(tmp_path: Path) -> None:
    bundle = build_bundle(BREVITAS, load_target("host"), tmp_path / "bundle", use_cache=False)
    with np.load(BREVITAS.with_suffix(".npz")) as answers:
        pictures, labels, expected = answers["pictures"], answers["labels"], answers["logits"]
    with connect("local") as connection:
        logits = classify(bundle, connection, pictures)
        result = bench(bundle, connection, Dataset("stripes", pictures, labels, ()), QUICK)
    assert (logits.argmax(axis=1) == expected.argmax(axis=1)).all()
    close = np.abs(logits - expected).max(axis=1) <= 1e-3 * np.abs(expected).max()
    assert close.mean() >= 0.9
    assert result.accuracy.logits_equal and result.accuracy.top1 == 1.0
    assert result.accuracy.logits_tolerance > 0
    assert len(result.profile) == len(bundle.manifest.layers)
    bits = {(layer.weight_bits, layer.activation_bits) for layer in bundle.manifest.layers}
    assert {(1, 1), (2, 2), (4, 4), (32, 32)} <= bits
    assert all(layer.reason for layer in bundle.manifest.layers if not layer.binarized)


def signs_and_shortcuts() -> Model:
    """XNOR blocks around which a float32 stream goes, and a few float operators."""
    model = Model(shape=(3, 16, 16))
    model.conv(16, strides=[2, 2], pads=[1] * 4)
    model.normalize()
    for _ in range(2):
        stream = model.current
        model.add("Sign")
        model.binary_conv(16, 3, pads=[1] * 4)
        model.normalize()
        model.add("Add", model.current, stream)
        model.add("PRelu", model.current, model.constant(np.full((16, 1, 1), 0.2)))
    model.add("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
    model.where_sign()
    model.binary_conv(32, 1)
    model.normalize()
    model.where_sign()
    model.binary_conv(32, 3, group=32, pads=[1] * 4)
    model.normalize()
    model.add("HardSwish")
    return model.classify()


def test_a_network_written_with_sign(tmp_path: Path) -> None:
    model = signs_and_shortcuts()
    path = model.save(tmp_path)
    preprocessing = Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    bundle = build_bundle(
        path, load_target("host"), tmp_path / "bundle", supplement=Supplement(preprocessing)
    )
    pictures = np.random.default_rng(1).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    with connect("local") as connection:
        logits = classify(bundle, connection, pictures)
    x = (pictures.astype(np.float32) / 255 - np.float32([0.5, 0.4, 0.3])) / np.float32(
        [0.2, 0.3, 0.4]
    )
    session = onnxruntime.InferenceSession(path)
    (expected,) = session.run(None, {"x": x.transpose(0, 3, 1, 2).astype(np.float32)})
    close = np.abs(logits - expected).max(axis=1) <= 1e-3 * np.abs(expected).max()
    assert close.mean() >= 0.9
    assert (logits.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.95
    assert "0.5, 0.4, 0.3" in bundle.manifest.model.preprocessing.arithmetic
    assert sum(layer.binarized for layer in bundle.manifest.layers) == 4


def test_an_ordinary_float_network(tmp_path: Path) -> None:
    """A small MobileNet, all of it by TVM's operators."""
    model = Model(shape=(3, 24, 24))
    model.conv(8, strides=[2, 2], pads=[1] * 4)
    for out, stride in ((16, 1), (24, 2)):
        for kernel, size, groups in ((3, model.channels, model.channels), (1, out, 1)):
            strides = [stride if kernel == 3 else 1] * 2
            model.conv(size, kernel, group=groups, pads=[kernel // 2] * 4, strides=strides)
            model.normalize()
            model.add("Clip", model.current, model.constant(0), model.constant(6))
    model.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    model.classify()
    model.add("Softmax", axis=1)
    path = model.save(tmp_path)
    bundle = build_bundle(path, load_target("host"), tmp_path / "bundle")
    pictures = np.random.default_rng(1).integers(0, 256, (20, 24, 24, 3), dtype=np.uint8)
    with connect("local") as connection:
        logits = classify(bundle, connection, pictures)
    x = (pictures / np.float32(255)).transpose(0, 3, 1, 2).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
    assert np.allclose(logits, expected, rtol=1e-3, atol=1e-5)
    assert not any(layer.binarized for layer in bundle.manifest.layers)
    assert all("float32, by TVM" in layer.reason for layer in bundle.manifest.layers)


def test_offsets_and_windows_of_one_row(tmp_path: Path) -> None:
    """Two values of any size, ternary weights, and a row: none of them is what ours have anyway."""
    model = Model(shape=(3, 12, 12))
    model.conv(16, pads=[1] * 4)
    model.normalize()
    for groups, kernel in ((1, (3, 3)), (4, (3, 3)), (1, (1, 5))):
        reached = model.add("GreaterOrEqual", model.current, model.constant(0.1))
        model.add("Where", reached, model.constant(0.8), model.constant(-0.3))
        signs = model.random.choice([-0.2, 0.2], (16, 16 // groups, *kernel))
        offset = model.random.uniform(-0.1, 0.1, (16, 1, 1, 1))
        pads = [size // 2 for size in kernel] * 2
        weight = model.constant(signs + offset)
        model.add("Conv", model.current, weight, pads=pads, group=groups)
        model.normalize()
    model.where_sign()
    weight = model.constant(model.random.choice([-0.2, 0, 0.2], (16, 16, 3, 3)))
    model.add("Conv", model.current, weight, pads=[1] * 4)
    found = differences(model.classify().save(tmp_path), tmp_path)
    assert np.median(found) < 1e-3
    bundle = read_bundle(tmp_path / "bundle")
    bits = [(layer.weight_bits, layer.activation_bits) for layer in bundle.manifest.layers]
    assert (bits.count((1, 1)), bits.count((2, 1))) == (3, 1)


def test_a_target_without_tvm_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not exported by.*rpi-32bit.*another target"):
        build_bundle(BREVITAS, load_target("rpi-32bit"), tmp_path / "bundle")


def test_an_operator_that_nobody_has_is_named(tmp_path: Path) -> None:
    model = Model()
    model.add("LpNormalization", axis=1)
    with pytest.raises(UnsupportedOperatorError, match=r"operator LpNormalization .node 'lpnorm"):
        build_bundle(model.classify().save(tmp_path), load_target("host"), tmp_path / "bundle")
