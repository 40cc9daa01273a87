"""Each layer gets its operator and its row in the table, or a sentence that names it."""

from dataclasses import replace

import numpy as np
import pytest

from bitat_deploy.compiler.importer import import_layers
from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.network import Convolution, IntegerNetwork, evaluate, pack_bits
from bitat_deploy.target import load_target
from tests.drawn_networks import (
    draw_convolution_network,
    draw_images,
    draw_network,
    draw_shortcut_network,
)


def test_every_layer_is_imported_and_reported() -> None:
    network = draw_network(0, input_shape=(12, 12, 1), stem=(16, 1), blocks=((24, 2),))
    reports = [layer.report for layer in import_layers(network, load_target("rpi4"))]
    assert [report.name for report in reports] == [layer.name for layer in network.layers]
    assert [report.binarized for report in reports] == [False, True, True, True, False]
    assert [report.fused for report in reports] == [True, True, True, False, True]
    assert all(report.reason for report in reports if not (report.binarized and report.fused))
    assert reports[1].output_shape == (6, 6, 16)
    assert reports[1].macs == 6 * 6 * 16 * 9
    assert reports[2].macs == 6 * 6 * 16 * 24


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (draw_network(0, bits=(2, 2)), "'stem' is a conv 3x3.*the picture.*2-bit output"),
        (
            draw_network(0, bits=(1, 1), signed=False),
            "'block0.depthwise' is a depthwise 3x3.*1-bit unsigned codes.*padding of 0",
        ),
        (draw_shortcut_network(0), "'stem'.*int16 output"),
        (
            draw_convolution_network(0, bits=(1, 1), dilation=2),
            "'grouped' is a conv 3x3, stride 1, 2 groups of 1-bit unsigned.*dilation 2",
        ),
    ],
)
def test_a_layer_without_an_operator_is_named(network: IntegerNetwork, words: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=f"layer {words}.*no operator"):
        import_layers(network, load_target("rpi4"))


@pytest.mark.parametrize("index", [1, 2])
def test_unsigned_bits_are_computed_by_the_operators_of_signs(index: int) -> None:
    """{0, 1} instead of -1 and +1, by other thresholds; depthwise padded with the top level."""
    drawn = draw_network(5, stem=(33, 1), blocks=((50, 2),), bits=(1, 1), signed=False)
    layer = drawn.layers[index]
    assert isinstance(layer, Convolution)
    layer = replace(layer, input="stem", padding_level=1)
    network = IntegerNetwork("head", drawn.input_shape, (drawn.layers[0], layer), (), {})
    values = evaluate(network, draw_images(network, 1))
    operator = import_layers(network, load_target("host"))[1].operator
    answer = operator.reference(pack_bits(values["stem"]))
    assert np.array_equal(answer, pack_bits(values[layer.name]))
