"""The twins are the network in another arithmetic, with the same shapes and the same work."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from bitat_deploy.baseline.float32 import float32_twin
from bitat_deploy.baseline.int8 import int8_twin
from bitat_deploy.bundle import read_bundle
from bitat_deploy.bundle.bundle import MODEL_ONNX
from bitat_deploy.onnx_format import read_network, to_onnx
from tests.drawn_networks import draw_network


@pytest.fixture(scope="module")
def float32(host_bundle: Path) -> onnx.ModelProto:
    return float32_twin(read_network(host_bundle / MODEL_ONNX))


@pytest.fixture(scope="module")
def int8(float32: onnx.ModelProto) -> onnx.ModelProto:
    return int8_twin(float32)


def test_same_work_in_each_layer(float32: onnx.ModelProto, host_bundle: Path) -> None:
    ours = {"conv": "Conv", "depthwise": "Conv", "pointwise": "Conv", "dense": "Gemm"}
    layers = [
        (ours[layer.kind.split()[0]], layer.macs)
        for layer in read_bundle(host_bundle).manifest.layers
        if layer.macs
    ]
    assert work(float32) == layers


def test_answers_depend_on_the_image(float32: onnx.ModelProto) -> None:
    logits = run(float32)
    assert logits.shape == (20, 10)
    assert np.isfinite(logits).all()
    assert logits.std(axis=0).min() > 1e-3  # nothing has died on the way


def test_int8_answers_nearly_as_float32(float32: onnx.ModelProto, int8: onnx.ModelProto) -> None:
    assert np.corrcoef(run(float32).ravel(), run(int8).ravel())[0, 1] > 0.99


def test_int8_runs_in_integers(int8: onnx.ModelProto, tmp_path: Path) -> None:
    optimized = tmp_path / "optimized.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimized)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(int8.SerializeToString(), options)
    operators = [node.op_type for node in onnx.load(optimized).graph.node]
    assert operators.count("QLinearConv") == 5
    assert not {"Conv", "FusedConv", "Gemm", "Cast", "Relu"} & set(operators)


def test_always_the_same(float32: onnx.ModelProto, int8: onnx.ModelProto) -> None:
    assert int8_twin(float32).SerializeToString() == int8.SerializeToString()


def test_color_images(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    onnx.save(to_onnx(draw_network(1, (32, 32, 3), (16, 2), ((32, 2),))), model)
    twin = int8_twin(float32_twin(read_network(model)))
    assert run(twin, (1, 3, 32, 32)).shape == (20, 10)


def run(model: onnx.ModelProto, shape: tuple[int, ...] = (1, 1, 28, 28)) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (20, *shape), dtype=np.uint8)
    return np.concatenate([session.run(None, {"image": image})[0] for image in images])


def work(model: onnx.ModelProto) -> list[tuple[str, int]]:
    """Operator and multiply-accumulates of each layer with weights."""
    weights = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    shapes = {
        value.name: [one.dim_value for one in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.output)
    }
    return [
        (node.op_type, int(np.prod(shapes[node.output[0]]) * weights[node.input[1]][0].size))
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm")
    ]
