"""Files that ONNX Runtime's quantizer made: their 8-bit layers run in integers, to the bit.

The reference is the file itself in stock ONNX Runtime, which computes it in integers as well.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.foreign import MixedNetwork, import_foreign
from bitat_deploy.foreign.check import logits_of
from bitat_deploy.foreign.eight_bit import int8_levels
from bitat_deploy.network import (
    AddBytes,
    AverageBytes,
    Convolution,
    MapBytes,
    Preprocessing,
    Rescale,
    Sums,
    Supplement,
)
from bitat_deploy.target import load_target
from tests.foreign.drawn_models import Model
from tests.test_bit_for_bit import run

QEMU_A76 = ("qemu-aarch64", "-cpu", "cortex-a76", "-L", "/usr/aarch64-linux-gnu")
CONVOLUTIONS = 7  # the dense layer among them


def pictures(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 24, 24, 3), dtype=np.uint8)


Spread = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation
NO_SPREAD: Spread = ((0.0,), (1.0,))


def as_input(images: np.ndarray, spread: Spread = NO_SPREAD) -> np.ndarray:
    mean, std = (np.array(values, np.float32) for values in spread)
    real = (images.astype(np.float32) / np.float32(255) - mean) / std
    return real.transpose(0, 3, 1, 2).astype(np.float32)


class Calibration(CalibrationDataReader):
    def __init__(self, spread: Spread = NO_SPREAD) -> None:
        self._rows: Iterator[np.ndarray] = iter(as_input(pictures(8), spread))

    def get_next(self) -> Any:
        row = next(self._rows, None)
        return None if row is None else {"x": row[None]}


def float_model() -> Model:
    """Depthwise, pointwise and whole convolutions, with and without Relu, and a shortcut."""
    model = Model(shape=(3, 24, 24))
    model.conv(8, strides=[2, 2], pads=[1] * 4)
    model.add("Relu")
    for out, stride in ((2, 1), (24, 2)):
        channels = model.channels
        model.conv(channels, 3, group=channels, pads=[1] * 4, strides=[stride] * 2)
        model.add("Relu")
        model.conv(out, 1, bias=True)
    shortcut = model.current
    model.conv(24, 3, pads=[1] * 4)
    model.add("Add", model.current, shortcut)
    model.add("Relu")
    return model.classify()


def quantized(
    folder: Path,
    form: QuantFormat,
    activation: QuantType,
    per_channel: bool,
    model: Model | None = None,
    spread: Spread = NO_SPREAD,
) -> Path:
    source, path = folder / "float.onnx", folder / "int8.onnx"
    onnx.save((model or float_model()).proto(), source)
    quantize_static(
        source,
        path,
        Calibration(spread),
        quant_format=form,
        activation_type=activation,
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
    )
    return path


def reference(path: Path, images: np.ndarray, spread: Spread = NO_SPREAD) -> np.ndarray:
    session = onnxruntime.InferenceSession(path)
    return np.stack([session.run(None, {"x": x[None]})[0][0] for x in as_input(images, spread)])


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("activation", [QuantType.QUInt8, QuantType.QInt8])
@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
def test_all_layers_are_found_and_exact(
    form: QuantFormat, activation: QuantType, per_channel: bool, tmp_path: Path
) -> None:
    path = quantized(tmp_path, form, activation, per_channel)
    network = import_foreign(path, Preprocessing())
    layers = [layer for layer in network.layers.values() if isinstance(layer, Convolution)]
    assert [layer.weight_bits for layer in layers] == [8] * CONVOLUTIONS
    assert all(isinstance(layer.output, Rescale) for layer in layers)
    between = {type(layer) for layer in network.layers.values()} - {Convolution}
    assert between == {AddBytes, AverageBytes}
    assert standard_nodes(network) <= {"Reshape", "Cast", "Sub", "DequantizeLinear"}  # the logits
    images = pictures(12, seed=2)
    assert (logits_of(network.graph, images) == reference(path, images)).all()


@pytest.mark.parametrize(("target", "emulator"), [("host", ()), ("rpi5", QEMU_A76)])
def test_it_runs_in_integers(target: str, emulator: tuple[str, ...], tmp_path: Path) -> None:
    path = quantized(tmp_path, QuantFormat.QDQ, QuantType.QUInt8, per_channel=True)
    bundle = build_bundle(path, load_target(target), tmp_path / "bundle")
    images = pictures(12, seed=2)
    assert (run(bundle, emulator, images, tmp_path) == reference(path, images)).all()
    int8 = [layer for layer in bundle.manifest.layers if layer.reason.startswith("int8")]
    assert [(layer.weight_bits, layer.activation_bits) for layer in int8] == [(8, 8)] * CONVOLUTIONS
    assert sum(layer.macs for layer in bundle.manifest.layers if layer not in int8) == 0


@pytest.mark.parametrize("activation", [QuantType.QUInt8, QuantType.QInt8])
def test_activations_are_tables_and_borders_have_the_byte_of_zero(
    activation: QuantType, tmp_path: Path
) -> None:
    """Pictures with a mean and a spread for each channel, ReLU6 in the file, and leaky ReLUs."""
    model = Model(shape=(3, 24, 24))
    model.conv(8, strides=[2, 2], pads=[1] * 4)
    model.add("LeakyRelu", alpha=0.1)
    model.conv(16, pads=[1] * 4, bias=True)
    model.add("Clip", model.current, model.constant(0), model.constant(6))
    model.conv(16, 3, group=16, pads=[1] * 4)
    model.add("LeakyRelu", alpha=0.3)
    model.conv(9, 1)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    path = quantized(tmp_path, QuantFormat.QDQ, activation, True, model.classify(), (mean, std))
    network = import_foreign(path, Preprocessing(mean=mean, std=std))
    tables = [layer for layer in network.layers.values() if isinstance(layer, MapBytes)]
    assert [len(layer.table) for layer in tables] == [3, 1, 1]
    layers = [layer for layer in network.layers.values() if isinstance(layer, Convolution)]
    assert any(layer.padding and layer.padding_level for layer in layers)
    assert standard_nodes(network) <= {"Reshape", "Cast", "Sub", "DequantizeLinear"}
    images = pictures(12, seed=2)
    wanted = reference(path, images, (mean, std))
    assert (logits_of(network.graph, images) == wanted).all()
    if activation == QuantType.QInt8:  # the other one differs in numbers alone
        supplement = Supplement(preprocessing=Preprocessing(mean=mean, std=std))
        target, folder = load_target("host"), tmp_path / "bundle"
        bundle = build_bundle(path, target, folder, supplement=supplement)
        assert (run(bundle, (), images, tmp_path) == wanted).all()


def standard_nodes(network: MixedNetwork) -> set[str]:
    return {node.op_type for node in network.graph.nodes if node.domain == ""}


def test_a_clip_before_the_quantizer_leaves_sums_in_float(tmp_path: Path) -> None:
    """And a bias that is no whole number of steps too; both are within rounding."""
    model = Model()
    step = model.constant(0.02)
    for _ in range(2):
        model.add("QuantizeLinear", model.current, step, model.constant(3, np.uint8))
        model.add("DequantizeLinear", model.current, step, model.constant(3, np.uint8))
        weight = model.random.integers(-127, 128, (8, model.channels, 3, 3)) * np.float32(0.013)
        bias = model.constant(model.random.normal(0, 1, 8))
        model.channels = 8
        model.add("Conv", model.current, model.constant(weight), bias, pads=[1] * 4)
        model.add("Clip", model.current, model.constant(-2), model.constant(2))
    network = import_foreign(model.classify().save(tmp_path), Preprocessing())
    layers = [layer for layer in network.layers.values() if isinstance(layer, Convolution)]
    assert [type(layer.output) for layer in layers] == [Sums, Sums]


def test_levels_are_those_of_the_file() -> None:
    random = np.random.default_rng(0)
    levels = random.integers(-127, 128, (40, 9)).astype(np.int8)
    scales = random.uniform(1e-4, 1, 40).astype(np.float32)
    found = int8_levels(levels.astype(np.float32) * scales[:, None])
    assert found is not None
    restored = found[0].astype(np.float32) * found[1][:, None]
    assert (restored == levels.astype(np.float32) * scales[:, None]).all()
    assert int8_levels(random.normal(0, 1, (4, 30)).astype(np.float32)) is None
