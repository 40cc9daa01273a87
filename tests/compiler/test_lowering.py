"""Each layer gets its operator and its row in the table, or a sentence that names it."""

from dataclasses import replace

import pytest

from bitat_deploy.compiler.lowering import lower_layers
from bitat_deploy.network import Convolution
from bitat_deploy.target import load_target
from tests.drawn_networks import (
    draw_convolution_network,
    draw_network,
    draw_shortcut_network,
)


def test_every_layer_is_imported_and_reported() -> None:
    network = draw_network(0, input_shape=(12, 12, 1), stem=(16, 1), blocks=((24, 2),))
    reports = [layer.report for layer in lower_layers(network, load_target("rpi4"))]
    assert [report.name for report in reports] == [layer.name for layer in network.layers]
    assert [report.binarized for report in reports] == [False, True, True, True, False]
    assert [report.fused for report in reports] == [True, True, True, False, True]
    assert all(report.reason for report in reports if not (report.binarized and report.fused))
    assert reports[1].output_shape == (6, 6, 16)
    assert reports[1].macs == 6 * 6 * 16 * 9
    assert reports[2].macs == 6 * 6 * 16 * 24


@pytest.mark.parametrize("bits", [(1, 2), (2, 1)])
def test_binarized_are_one_bit_weights_of_one_bit_activations(bits: tuple[int, int]) -> None:
    layers = lower_layers(draw_network(0, bits=bits), load_target("rpi4"))
    assert not any(layer.report.binarized for layer in layers[:-2])


def test_kinds_are_what_a_reader_calls_them() -> None:
    networks = [draw_network(0), draw_convolution_network(0), draw_shortcut_network(0, blocks=1)]
    chain, grouped, shortcuts = (
        [layer.report.kind for layer in lower_layers(network, load_target("rpi4"))]
        for network in networks
    )
    blocks = ["depthwise 3x3, stride 2", "pointwise 1x1", "depthwise 3x3", "pointwise 1x1"]
    assert chain == ["conv 3x3", *blocks, "global sum", "dense"]
    assert grouped == ["conv 3x3", "conv 3x3, 2 groups", "max pool", "global sum", "dense"]
    block = ["quantization", "average pool 2x2", "conv 3x3, stride 2", "quantization"]
    assert shortcuts == ["conv 3x3", *block, "pointwise 1x1", "global sum", "dense"]


def test_layers_that_are_not_binarized_fused_and_packed_say_why() -> None:
    target = load_target("rpi4")
    networks = [draw_network(0, bits=(2, 2)), draw_network(0)]
    networks += [draw_shortcut_network(0), draw_convolution_network(0)]
    reports = [layer.report for one in networks for layer in lower_layers(one, target)]
    for report in reports:
        complete = report.binarized and report.fused and report.packed_output
        assert complete == (not report.reason), report
    assert "2-bit weights and 2-bit activations" in reports[1].reason


def test_a_shortcut_is_an_operators_second_input() -> None:
    layers = lower_layers(draw_shortcut_network(0), load_target("rpi4"))
    inputs = {layer.report.name: layer.inputs for layer in layers}
    assert inputs["block0.conv"] == ("block0.sign", "block0.shortcut")
    assert inputs["block0.double"] == ("block0.sign2", "block0.conv")
    assert all(len(layer.inputs) == len(layer.operator.inputs) for layer in layers)


def test_unsigned_bits_are_computed_by_the_operators_of_signs() -> None:
    """{0, 1} instead of -1 and +1, by other thresholds; depthwise padded with the top level."""
    drawn = draw_network(5, stem=(33, 1), blocks=((50, 2),), bits=(1, 1), signed=False)
    layers = [
        replace(one, padding_level=1) if isinstance(one, Convolution) and one.depthwise else one
        for one in drawn.layers
    ]
    network = replace(drawn, layers=tuple(layers))
    kinds = [layer.operator.kind for layer in lower_layers(network, load_target("host"))]
    assert kinds[1:3] == ["binary_depthwise", "binary_pointwise"]
