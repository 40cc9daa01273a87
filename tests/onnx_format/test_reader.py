"""Every defect of an ONNX file gives one sentence that names it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.network import IntegerNetwork
from bitat_deploy.onnx_format import read_network, to_onnx
from tests.drawn_networks import (
    draw_convolution_network,
    draw_eight_bit_network,
    draw_network,
    draw_shortcut_network,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


ALL_KINDS = [
    draw_network(0),
    draw_network(1, bits=(4, 4), signed=False),
    draw_shortcut_network(2),
    draw_convolution_network(3, bits=(3, 2), dilation=2),
    draw_eight_bit_network(4),
]


@pytest.mark.parametrize("network", ALL_KINDS)
def test_what_was_written_is_read(network: IntegerNetwork, path: Path) -> None:
    model = to_onnx(network)
    assert to_onnx(read_network(save(model, path))) == model


def test_sums_that_are_read_twice_stay_sums(path: Path) -> None:
    """Then the output stage is no part of the convolution: its quantization stands alone."""
    model = to_onnx(draw_network(0))
    quantize = onnx.NodeProto()
    quantize.CopyFrom(model.graph.node[3])
    quantize.name, quantize.output[0] = "again", "again"
    model.graph.node.append(quantize)
    with pytest.raises(
        InputError, match=r"'block0\.depthwise\.quantize' is inconsist.*not read a stream"
    ):
        read_network(save(model, path))


def test_a_shortcut_may_come_after_the_sums_it_is_added_to(path: Path) -> None:
    model = to_onnx(draw_shortcut_network(0))
    names = [node.name for node in model.graph.node]
    pool = names.index("block0.shortcut")
    node = onnx.NodeProto()
    node.CopyFrom(model.graph.node[pool])
    del model.graph.node[pool]
    model.graph.node.insert(names.index("block0.conv"), node)
    assert model.graph.node[pool].name == "block0.conv"
    layers = [layer.name for layer in read_network(save(model, path)).layers]
    assert layers.index("block0.shortcut") < layers.index("block0.conv")


def test_missing_file(path: Path) -> None:
    with pytest.raises(InputError, match="there is no ONNX file"):
        read_network(path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"PK\x03\x04 not onnx"])
def test_file_that_is_no_onnx(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.onnx"):
        read_network(path)


def test_truncated_file(path: Path) -> None:
    content = to_onnx(draw_network(0)).SerializeToString()
    for length in range(1, len(content) - 1, 997):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            read_network(path)


def test_unsupported_operator_names_which_where_and_what_is_supported(path: Path) -> None:
    node = helper.make_node("Softmax", ["image"], ["logits"], name="probabilities")
    image = helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["N", 4, 4, 1])
    logits = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", 10])
    model = helper.make_model(
        helper.make_graph([node], "g", [image], [logits]),
        opset_imports=[helper.make_opsetid("", 20)],
    )
    with pytest.raises(
        UnsupportedOperatorError, match=r"ai\.onnx\.Softmax \(layer 'probabilities'\).*supported"
    ):
        read_network(save(model, path))


def test_other_version_of_our_functions(path: Path) -> None:
    model = to_onnx(draw_network(0))
    for opset in model.opset_import:
        if opset.domain:
            opset.version = 1
    with pytest.raises(InputError, match=r"version 1.*version 2; export"):
        read_network(save(model, path))


def test_float_input(path: Path) -> None:
    model = to_onnx(draw_network(0))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    with pytest.raises(InputError, match="not a uint8 image"):
        read_network(save(model, path))


def test_codes_that_are_not_those_a_node_says_it_reads(path: Path) -> None:
    model = to_onnx(draw_network(0, blocks=((9, 1), (9, 1))))
    (signed,) = [a for a in model.graph.node[4].attribute if a.name == "signed"]
    signed.i = 0
    with pytest.raises(InputError, match=r"block0\.pointwise.*signed = 0, but gets 1"):
        read_network(save(model, path))


def test_a_requantization_that_is_not_saturated(path: Path) -> None:
    model = to_onnx(draw_shortcut_network(0))
    nodes = {node.name: node for node in model.graph.node}
    model.graph.node.remove(nodes["stem.saturate"])
    nodes["stem.requantize"].output[0] = "stem.output"
    with pytest.raises(UnsupportedOperatorError, match="'stem': its Requantize is not followed"):
        read_network(save(model, path))


def test_weights_that_do_not_fit(path: Path) -> None:
    model = to_onnx(draw_network(0))
    (weight,) = [t for t in model.graph.initializer if t.name == "block0.pointwise.weight"]
    weight.CopyFrom(numpy_helper.from_array(np.zeros((17, 5), np.uint8), weight.name))
    with pytest.raises(InputError, match=r"block0\.pointwise.*inconsistent"):
        read_network(save(model, path))


def test_thresholds_that_do_not_fit(path: Path) -> None:
    model = to_onnx(draw_network(0))
    name = "block0.pointwise.quantize.thresholds"
    (thresholds,) = [t for t in model.graph.initializer if t.name == name]
    thresholds.CopyFrom(numpy_helper.from_array(np.zeros((1, 3), np.int32), name))
    with pytest.raises(InputError, match=r"block0\.pointwise.*inconsistent.*17 int32 thresholds"):
        read_network(save(model, path))


def test_weights_in_another_file_are_refused(path: Path) -> None:
    """Even ones that are there: a path in a model must not name a file of this machine."""
    model = to_onnx(draw_network(0))
    (path.parent / "weights").write_bytes(bytes(1000))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights")
    with pytest.raises(InputError, match="weights in other files"):
        read_network(save(model, path))


def test_a_name_that_is_none(path: Path) -> None:
    model = to_onnx(draw_network(0))
    model.graph.name = "../../x"
    with pytest.raises(InputError, match="a network's name must be 1 to 100 letters"):
        read_network(save(model, path))


def test_changed_function_body(path: Path) -> None:
    """ONNX Runtime would run it, and answer otherwise than our operator."""
    model = to_onnx(draw_network(0))
    (function,) = [f for f in model.functions if f.name == "Quantize"]
    (comparison,) = [node for node in function.node if node.op_type == "GreaterOrEqual"]
    comparison.op_type = "Greater"
    with pytest.raises(InputError, match=r"Quantize.*another body"):
        read_network(save(model, path))


def test_count_of_other_channels(path: Path) -> None:
    """ONNX Runtime would count fewer; the file is contradictory."""
    model = to_onnx(draw_network(0))
    (pool,) = [node for node in model.graph.node if node.op_type == "GlobalCodeSum"]
    (channels,) = [entry for entry in pool.attribute if entry.name == "channels"]
    channels.i -= 1
    with pytest.raises(InputError, match=r"pool.*inconsistent"):
        read_network(save(model, path))


@pytest.mark.parametrize(
    ("name", "values"),
    [("strides", [0, 0]), ("strides", [1]), ("pads", [-1] * 4), ("pads", [16383] * 4)],
)
def test_window_out_of_range(path: Path, name: str, values: list[int]) -> None:
    model = to_onnx(draw_network(0))
    (attribute,) = [entry for entry in model.graph.node[0].attribute if entry.name == name]
    attribute.ints[:] = values
    with pytest.raises(InputError, match=r"stem.*inconsistent"):
        read_network(save(model, path))
