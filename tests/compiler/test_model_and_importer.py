"""Every way an ONNX file can be wrong ends in one sentence that names it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from bitat_deploy.compiler.importer import import_layers
from bitat_deploy.compiler.model import read_model
from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.onnx_format import to_onnx
from bitat_deploy.target import load_target
from tests.drawn_networks import draw_network


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def test_every_layer_is_imported_and_reported(path: Path) -> None:
    network = draw_network(0, input_shape=(12, 12, 1), stem=(16, 1), blocks=((24, 2),))
    layers = import_layers(read_model(save(to_onnx(network), path)), load_target("rpi4"))
    reports = [layer.report for layer in layers]
    assert [report.name for report in reports] == [layer.name for layer in network.layers]
    assert [report.binarized for report in reports] == [False, True, True, True, False]
    assert all(report.reason for report in reports if not (report.binarized and report.fused))
    assert reports[1].output_shape == (6, 6, 16)
    assert reports[1].macs == 6 * 6 * 16 * 9
    assert reports[2].macs == 6 * 6 * 16 * 24


def test_missing_file(path: Path) -> None:
    with pytest.raises(InputError, match="there is no ONNX file"):
        read_model(path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"PK\x03\x04 not onnx"])
def test_file_that_is_no_onnx(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.onnx"):
        read_model(path)


def test_truncated_file(path: Path) -> None:
    content = to_onnx(draw_network(0)).SerializeToString()
    for length in range(1, len(content) - 1, 997):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            import_layers(read_model(path), load_target("rpi4"))


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
        import_layers(read_model(save(model, path)), load_target("rpi4"))


def test_other_version_of_our_functions(path: Path) -> None:
    model = to_onnx(draw_network(0))
    for opset in model.opset_import:
        if opset.domain:
            opset.version = 2
    with pytest.raises(InputError, match="version"):
        read_model(save(model, path))


def test_float_input(path: Path) -> None:
    model = to_onnx(draw_network(0))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    with pytest.raises(InputError, match="not a uint8 image"):
        read_model(save(model, path))


def test_branch(path: Path) -> None:
    model = to_onnx(draw_network(0, blocks=((9, 1), (9, 1))))
    model.graph.node[3].input[0] = model.graph.node[1].output[0]
    with pytest.raises(UnsupportedOperatorError, match="without branches"):
        import_layers(read_model(save(model, path)), load_target("rpi4"))


def test_weights_that_do_not_fit(path: Path) -> None:
    model = to_onnx(draw_network(0))
    (weight,) = [t for t in model.graph.initializer if t.name == "block0.pointwise.weight"]
    weight.CopyFrom(numpy_helper.from_array(np.zeros((17, 5), np.uint8), weight.name))
    with pytest.raises(InputError, match=r"block0\.pointwise.*inconsistent"):
        import_layers(read_model(save(model, path)), load_target("rpi4"))


def test_thresholds_that_do_not_fit(path: Path) -> None:
    network = draw_network(0)
    layers = list(network.layers)
    layers[2] = replace(layers[2], threshold=np.zeros(3, np.int32))
    model = to_onnx(replace(network, layers=tuple(layers)))
    with pytest.raises(InputError, match=r"block0\.pointwise.*inconsistent"):
        import_layers(read_model(save(model, path)), load_target("rpi4"))


def test_weights_in_another_file_are_refused(path: Path) -> None:
    """Even ones that are there: a path in a model must not name a file of this machine."""
    model = to_onnx(draw_network(0))
    (path.parent / "weights").write_bytes(bytes(1000))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights")
    with pytest.raises(InputError, match="weights in other files"):
        read_model(save(model, path))


def test_changed_function_body(path: Path) -> None:
    """ONNX Runtime would run it, and answer otherwise than our operator."""
    model = to_onnx(draw_network(0))
    (function,) = [f for f in model.functions if f.name == "QuantizedConvThreshold"]
    (comparison,) = [node for node in function.node if node.op_type == "GreaterOrEqual"]
    comparison.op_type = "Greater"
    with pytest.raises(InputError, match=r"QuantizedConvThreshold.*another body"):
        read_model(save(model, path))


def test_count_of_other_channels(path: Path) -> None:
    """ONNX Runtime would count fewer; the file is contradictory."""
    model = to_onnx(draw_network(0))
    (pool,) = [node for node in model.graph.node if node.op_type == "GlobalBitCount"]
    pool.attribute[0].i -= 1
    with pytest.raises(InputError, match=r"pool.*inconsistent"):
        import_layers(read_model(save(model, path)), load_target("rpi4"))


@pytest.mark.parametrize(
    ("name", "values"),
    [("strides", [0, 0]), ("strides", [1]), ("pads", [-1] * 4), ("pads", [16383] * 4)],
)
def test_window_out_of_range(path: Path, name: str, values: list[int]) -> None:
    model = to_onnx(draw_network(0))
    (attribute,) = [entry for entry in model.graph.node[0].attribute if entry.name == name]
    attribute.ints[:] = values
    with pytest.raises(InputError, match=r"stem.*inconsistent"):
        import_layers(read_model(save(model, path)), load_target("rpi4"))
