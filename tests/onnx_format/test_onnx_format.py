from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitat_deploy.errors import InputError
from bitat_deploy.onnx_format import reference_logits, to_onnx, write_validated
from bitat_deploy.onnx_format.export import ExportError
from tests.drawn_networks import draw_images, draw_network, numpy_logits

channels = st.integers(1, 35)
strides = st.integers(1, 2)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    input_shape=st.tuples(st.integers(1, 13), st.integers(1, 13), st.integers(1, 4)),
    stem=st.tuples(channels, strides),
    blocks=st.lists(st.tuples(channels, strides), max_size=3),
)
def test_stock_onnx_runtime_equals_numpy(seed, input_shape, stem, blocks) -> None:
    network = draw_network(seed, input_shape, stem, tuple(blocks))
    images = draw_images(network, 3)
    assert np.array_equal(reference_logits(to_onnx(network), images), numpy_logits(network, images))


def test_thresholds_beyond_every_sum_give_constant_channels() -> None:
    network = draw_network(1)
    limits = np.iinfo(np.int32)
    layers = list(network.layers)
    for index in (0, 1, 2):
        threshold = np.resize(
            np.array([limits.min, limits.max], np.int32), len(layers[index].threshold)
        )
        layers[index] = replace(layers[index], threshold=threshold)
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
    assert properties["class_names"].split(",")[3] == "class 3"


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
    with pytest.raises(InputError, match="cannot load"):
        reference_logits(path, np.zeros((1, 4, 4, 1), np.uint8))
