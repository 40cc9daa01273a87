"""What the table at the end of a build says of a file is what the file has."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bitat_deploy.compiler.layer_report import LayerReport
from bitat_deploy.compiler.mixed_module import mixed_module
from bitat_deploy.foreign import import_foreign
from bitat_deploy.foreign.load import load_graph
from bitat_deploy.foreign.recognised import describe_float_speed
from bitat_deploy.network import Preprocessing
from bitat_deploy.records.choice import Records
from bitat_deploy.target import load_target
from tests.foreign.drawn_models import Model


def reports(model: Model, folder: Path) -> tuple[dict[str, LayerReport], str]:
    """Of the layers, and what is said of all."""
    network = import_foreign(model.save(folder), Preprocessing())
    _, rows = mixed_module(network, load_target("host"), Records())
    return {row.name: row for row in rows}, network.metadata["recognised"]


def grouped_ternary(model: Model) -> str:
    weight = model.random.choice([-0.2, 0, 0.2], (16, 4, 3, 3))
    return model.conv(16, 3, weight, group=4, pads=[1] * 4)


def test_bits_and_multiplications_are_the_files(tmp_path: Path) -> None:
    """Whatever ours needs for them: copies of channels, one output more, rows of zeros."""
    model = Model()
    model.conv(16, pads=[1] * 4)
    model.normalize()
    model.where_sign()
    ternary = grouped_ternary(model)
    model.normalize()
    model.where_sign()
    middle = model.random.uniform(0.1, 0.2, (8, 1, 1, 1))
    weight = middle + model.random.choice([-0.3, 0.3], (8, 16, 3, 3))
    offset = model.conv(8, 3, weight, pads=[1] * 4)
    model.normalize()
    model.where_sign()
    binary = model.binary_conv(8, 1)
    rows, words = reports(model.classify(), tmp_path)
    facts = {
        name: (rows[name].weight_bits, rows[name].activation_bits, rows[name].macs)
        for name in (ternary, offset, binary)
    }
    pixels = 12 * 12
    assert facts[ternary] == (2, 1, 16 * 4 * 9 * pixels)
    assert facts[offset][1:] == (1, 8 * 16 * 9 * pixels)
    assert facts[binary] == (1, 1, 8 * 8 * pixels)
    assert [row.name for row in rows.values() if row.binarized] == [offset, binary]
    assert (
        sum(row.macs for row in rows.values())
        == sum(macs for _, _, macs in facts.values()) + 16 * 3 * 9 * pixels + 80
    )
    assert words == "2 of 2 convolutions with two-valued weights recognised"


def test_the_first_obstacle_is_told(tmp_path: Path) -> None:
    model = Model()
    model.conv(16, pads=[1] * 4)
    model.add("Relu")
    model.binary_conv(16, 3)
    model.where_sign()
    model.binary_conv(16, 3)
    _, words = reports(model.classify(), tmp_path)
    assert words == (
        "1 of 2 convolutions with two-valued weights recognised; first obstacle: operator Conv "
        "(node 'conv2'): its input is not quantized to 1 to 4 bits"
    )


def test_a_float_network_has_none(tmp_path: Path) -> None:
    model = Model()
    model.conv(16, weight=np.random.default_rng(0).normal(size=(16, 3, 3, 3)))
    assert reports(model.classify(), tmp_path)[1] == "no convolution has two-valued weights"


def test_much_float_work_is_told(tmp_path: Path) -> None:
    """Where only the classifier stays in float32, nothing is said."""
    model = Model()
    model.conv(16, pads=[1] * 4)
    model.normalize()
    model.where_sign()
    model.binary_conv(16, 3)
    found = import_foreign(model.classify().save(tmp_path), Preprocessing()).metadata
    words = "of the multiply-accumulates stay in float32; float layers run at about"
    assert words in found["float"]
    graph = load_graph(tmp_path / "drawn.onnx")
    assert describe_float_speed(graph, replace(graph, nodes=())) == ""
