from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitat_deploy.errors import InputError
from bitat_deploy.network import Convolution, IntegerNetwork, Quantize, class_names_of
from bitat_deploy.onnx_format import reference_logits, to_onnx, write_validated
from bitat_deploy.onnx_format.export import ExportError
from bitat_deploy.onnx_format.functions import model_local_functions
from bitat_deploy.training.integer_network import integer_logits
from tests.drawn_networks import (
    draw_convolution_network,
    draw_eight_bit_network,
    draw_images,
    draw_network,
    draw_shortcut_network,
    numpy_logits,
)

channels = st.integers(1, 35)
strides = st.integers(1, 2)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    input_shape=st.tuples(st.integers(1, 13), st.integers(1, 13), st.integers(1, 4)),
    stem=st.tuples(channels, strides),
    blocks=st.lists(st.tuples(channels, strides), max_size=3),
    bits=st.sampled_from([(1, 1), (1, 1), (2, 2), (4, 4), (1, 2), (3, 1)]),
    signed=st.booleans(),
)
def test_packed_chains(seed, input_shape, stem, blocks, bits, signed) -> None:
    assert_one_answer(
        draw_network(seed, input_shape, stem, tuple(blocks), bits=bits, signed=signed)
    )


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    input_shape=st.tuples(st.integers(1, 13), st.integers(1, 13), st.integers(1, 4)),
    channels=st.integers(1, 20),
    kernel=st.sampled_from([1, 3, 5]),
    signed=st.booleans(),
)
def test_shortcut_networks(seed, input_shape, channels, kernel, signed) -> None:
    blocks = 2
    assert_one_answer(draw_shortcut_network(seed, input_shape, channels, blocks, kernel, signed))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    kernel=st.integers(1, 4),
    groups=st.integers(1, 3),
    dilation=st.integers(1, 2),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    padding_top=st.booleans(),
    bits=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    signed=st.booleans(),
    pool=st.sampled_from([(1, 1, 0), (2, 2, 0), (2, 1, 1), (3, 2, 1)]),
)
def test_convolutions_of_all_kinds(seed, **choices) -> None:
    assert_one_answer(draw_convolution_network(seed, **choices))


def assert_one_answer(network: IntegerNetwork) -> None:
    """ONNX Runtime and PyTorch answer what the definition says."""
    images = draw_images(network, 3)
    expected = numpy_logits(network, images)
    assert np.array_equal(reference_logits(to_onnx(network), images), expected)
    assert np.array_equal(integer_logits(network, images), expected)


@pytest.mark.parametrize(("seed", "channels", "kernel"), [(1, 12, 3), (2, 2, 1), (3, 34, 5)])
def test_eight_bit_networks(seed: int, channels: int, kernel: int) -> None:
    assert_one_answer(draw_eight_bit_network(seed, channels=channels, kernel=kernel))


def test_thresholds_beyond_every_sum_give_constant_channels() -> None:
    network = draw_network(1)
    limits = np.iinfo(np.int32)
    layers = list(network.layers)
    for index, layer in enumerate(layers[:3]):
        assert isinstance(layer, Convolution)
        constant = np.resize(np.array([limits.min, limits.max], np.int32), (1, layer.out_channels))
        layers[index] = replace(layer, output=Quantize(constant, signed=True))
    network = replace(network, layers=tuple(layers))
    images = draw_images(network, 3)
    assert np.array_equal(reference_logits(to_onnx(network), images), numpy_logits(network, images))


def test_file_passes_the_checker_and_stores_one_bit_a_weight() -> None:
    network = draw_network(0, blocks=((256, 1), (256, 1)))
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    weight = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    assert weight["block1.pointwise.weight"].nbytes == 256 * 256 // 8
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["seed"] == "0"
    assert class_names_of(properties["class_names"])[3] == "class 3"


def test_pads_are_no_constants_that_older_versions_refuse() -> None:
    """ONNX Runtime 1.17 to 1.24 loads no file whose Pad reads a Constant of value_ints."""
    for function in model_local_functions():
        wide = {
            node.output[0]
            for node in function.node
            if node.op_type == "Constant" and node.attribute[0].name == "value_ints"
        }
        assert not any(node.op_type == "Pad" and node.input[1] in wide for node in function.node)


def test_a_model_that_differs_from_pytorch_is_not_written(tmp_path: Path) -> None:
    network = draw_network(0)
    images = draw_images(network, 4)
    expected = numpy_logits(network, images)
    output = tmp_path / "model.onnx"
    expected[2, 1] = np.nextafter(expected[2, 1], np.float32(np.inf))
    with pytest.raises(ExportError, match="1 of 4"):
        write_validated(to_onnx(network), images, expected, output)
    assert list(tmp_path.iterdir()) == []


def test_export_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    network = draw_network(0)
    images = draw_images(network, 4)
    with pytest.raises(InputError, match="does not exist"):
        write_validated(
            to_onnx(network), images, numpy_logits(network, images), tmp_path / "no" / "model.onnx"
        )


def test_a_damaged_file_is_refused_by_the_reference(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(InputError, match="cannot run"):
        reference_logits(path, np.zeros((1, 4, 4, 1), np.uint8))


def test_a_model_that_fails_while_it_runs(tmp_path: Path) -> None:
    tensor = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("Cast", ["image"], ["index"], to=onnx.TensorProto.INT64),
        onnx.helper.make_node("Gather", ["table", "index"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "table",
        [tensor("image", onnx.TensorProto.UINT8, [1, 2])],
        [tensor("logits", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.zeros(3, np.float32), "table")],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    assert reference_logits(tmp_path / "model.onnx", np.full((1, 2), 2, np.uint8)).size == 2
    with pytest.raises(InputError, match=r"cannot run .*model\.onnx': .*bounds"):
        reference_logits(tmp_path / "model.onnx", np.full((1, 2), 3, np.uint8))
