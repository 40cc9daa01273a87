"""Files as tools export them: inputs of all kinds, old operator sets, and what is no number."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.foreign import import_foreign
from bitat_deploy.foreign.check import logits_of
from bitat_deploy.network import Preprocessing
from bitat_deploy.onnx_format import OPTIMIZATIONS, reference_logits
from tests.foreign.answers import differences
from tests.foreign.drawn_models import Model

BREVITAS = "onnx.brevitas"


def with_input(model: Model, element: int, shape: list[int | str]) -> onnx.ModelProto:
    proto = model.proto()
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", element, shape))
    return proto


def pixels(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.mark.parametrize("transposed", [False, True])
def test_int8_pixels_are_bytes_less_128(transposed: bool, tmp_path: Path) -> None:
    """Folded into the zero point where the picture is dequantized at once."""
    model = Model((3, 8, 8))
    if transposed:
        model.add("Transpose", perm=[0, 3, 1, 2])
    scale, zero = model.constant(1 / 255), model.constant(-100, np.int8)
    model.add("DequantizeLinear", model.current, scale, zero)
    model.conv(8)
    shape: list[int | str] = ["N", 8, 8, 3] if transposed else ["N", 3, 8, 8]
    path = tmp_path / "int8.onnx"
    onnx.save(with_input(model.classify(), TensorProto.INT8, shape), path)
    network = import_foreign(path, Preprocessing())
    assert network.preprocessing.arithmetic == "pixel - 128"
    casts = [node for node in network.graph.nodes if node.op_type == "Cast"]
    assert len(casts) == (2 if transposed else 0)

    def as_input(pictures: np.ndarray) -> np.ndarray:
        signed = (pictures.astype(np.int16) - 128).astype(np.int8)
        return signed if transposed else signed.transpose(0, 3, 1, 2)

    assert differences(path, tmp_path, as_input).max() < 1e-3
    with pytest.raises(InputError, match=r"bytes as they are; leave out --mean"):
        import_foreign(path, Preprocessing(mean=(0.5,)))


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_rectangles_of_any_number_of_channels(channels: int, tmp_path: Path) -> None:
    model = Model((channels, 9, 14))
    model.conv(8, pads=[1] * 4)
    path = model.classify().save(tmp_path)
    assert import_foreign(path, Preprocessing()).input_shape == (9, 14, channels)
    assert differences(path, tmp_path).max() < 1e-3


def test_a_plane_without_channels(tmp_path: Path) -> None:
    model = Model((3, 9, 14))
    model.add("Unsqueeze", model.current, model.constant([1], np.int64))
    model.channels = 1
    model.conv(8)
    path = tmp_path / "plane.onnx"
    onnx.save(with_input(model.classify(), TensorProto.FLOAT, ["N", 9, 14]), path)
    found = differences(path, tmp_path, lambda x: (x[..., 0] / np.float32(255)).astype(np.float32))
    assert found.max() < 1e-3


def bipolar(opset: int) -> onnx.ModelProto:
    """Signs of the picture with signs of drawn weights, as QONNX's model zoo has it."""
    model = Model((3, 8, 8), opset=opset)
    one = model.constant(1)
    weight = model.constant(model.random.normal(size=(10, 3, 3, 3)))
    signs = model.add("BipolarQuant", weight, one, domain=BREVITAS)
    codes = model.add("BipolarQuant", "x", one, domain=BREVITAS)
    model.add("Conv", codes, signs)
    model.add("GlobalAveragePool")
    model.add("Flatten")
    return model.proto()


@pytest.mark.parametrize("opset", [9, 11, 17])
@pytest.mark.parametrize("imported", [True, False])
def test_qonnx_of_any_operator_set(opset: int, imported: bool, tmp_path: Path) -> None:
    proto = bipolar(opset)
    if not imported:
        del proto.opset_import[:]
        proto.opset_import.append(helper.make_opsetid("", opset))
    path = tmp_path / "qonnx.onnx"
    onnx.save(proto, path)
    network = import_foreign(path, Preprocessing(mean=(0.5,)))
    assert [layer.weight_bits for layer in network.layers.values() if hasattr(layer, "kernel")] == [
        1
    ]
    images = pixels(5, 8, 8, 3)
    signs = np.where(images / np.float32(255) >= 0.5, 1, -1)
    weight = np.where(onnx.numpy_helper.to_array(proto.graph.initializer[1]) >= 0, 1, -1)
    windows = np.lib.stride_tricks.sliding_window_view(signs, (3, 3), axis=(1, 2))
    wanted = np.einsum("nhwcij,ocij->nhwo", windows, weight).mean(axis=(1, 2))
    assert np.allclose(logits_of(network.graph, images), wanted, atol=1e-5)


def test_nan_is_the_files(tmp_path: Path) -> None:
    model = Model()
    weight = model.random.normal(size=(8, 3, 3, 3))
    weight[1, 2, 0, 0] = np.nan
    model.conv(8, weight=weight)
    with pytest.raises(InputError, match=r"itself gives NaN .*'constant0' holds NaN in 1 of its 2"):
        import_foreign(model.classify().save(tmp_path), Preprocessing())


def test_the_first_node_that_gives_no_number_is_named(tmp_path: Path) -> None:
    model = Model()
    model.conv(8, bias=True)
    model.add("Sqrt")
    model.add("Relu")
    with pytest.raises(InputError, match=r"itself gives NaN .* operator Sqrt \(node 'sqrt1'\)"):
        import_foreign(model.classify().save(tmp_path), Preprocessing())


def test_a_black_picture_may_give_none(tmp_path: Path) -> None:
    model = Model()
    norm = model.add("ReduceL2", axes=[1], keepdims=1)
    model.add("Div", "x", norm)
    model.conv(8)
    network = import_foreign(model.classify().save(tmp_path), Preprocessing())
    assert "0 predictions differ" in network.metadata["import"]


def in_training(further: bool = False, **attributes: int) -> Model:
    model = Model()
    model.conv(8)
    constants = [model.constant(model.random.uniform(0.5, 2, 8)) for _ in range(4)]
    more = ("mean", "variance")
    x = model.add(
        "BatchNormalization",
        model.current,
        *constants,
        training_mode=1,
        further_outputs=more,
        epsilon=0.01,
    )
    if further:
        rest = model.add("Reshape", "mean", model.constant([1, 8, 1, 1], np.int64))
        model.add("Mul", x, rest)
    return model.classify()


def test_moments_of_the_picture(tmp_path: Path) -> None:
    path = in_training().save(tmp_path)
    note = import_foreign(path, Preprocessing()).metadata["note"]
    assert "each picture's own mean" in note and "'batchnormalization1'" in note
    assert differences(path, tmp_path).max() < 1e-3


def test_moments_that_are_handed_on_are_refused(tmp_path: Path) -> None:
    path = in_training(further=True).save(tmp_path)
    with pytest.raises(UnsupportedOperatorError, match=r"'batchnormalization1'\) is in training"):
        import_foreign(path, Preprocessing())


@pytest.mark.parametrize(("share", "refused"), [(0.5, True), (0.0, False)])
def test_dropout_that_drops_is_refused(share: float, refused: bool, tmp_path: Path) -> None:
    model = Model()
    model.add("Dropout", model.current, model.constant(share), model.constant(True, bool))
    path = model.classify().save(tmp_path)
    if not refused:
        assert import_foreign(path, Preprocessing())
        return
    with pytest.raises(UnsupportedOperatorError, match=r"'dropout0'\) drops values at random"):
        import_foreign(path, Preprocessing())


def quantized_around(model: Model, product: str, *constants: str, **attributes: float) -> None:
    """QuantizeLinear, DequantizeLinear, a product, and both again."""
    scale, zero = model.constant(0.02), model.constant(128, np.uint8)
    for step in (None, product):
        if step is not None:
            model.add(step, model.current, *constants, **attributes)
        model.add("QuantizeLinear", model.current, scale, zero)
        model.add("DequantizeLinear", model.current, scale, zero)


def pooled() -> Model:
    model = Model()
    model.conv(8)
    model.add("Relu")
    model.add("GlobalAveragePool")
    model.add("Flatten")
    return model


@pytest.mark.parametrize("factors", [{"alpha": 2.0}, {"beta": 0.5}, {"alpha": 0.3, "beta": 3.0}])
def test_factors_of_a_gemm_are_in_its_weights(factors: dict, tmp_path: Path) -> None:
    model = pooled()
    levels = model.constant(model.random.integers(-127, 128, (8, 10)), np.int8)
    scale, zero = model.constant(0.013), model.constant(0, np.int8)
    bias = model.constant(model.random.normal(1, 0.5, 10))
    pooled_tensor = model.current
    weight = model.add("DequantizeLinear", levels, scale, zero)
    model.current = pooled_tensor
    quantized_around(model, "Gemm", weight, bias, **factors)
    path = model.save(tmp_path)
    network = import_foreign(path, Preprocessing())
    if factors.get("alpha") != 0.3:  # the products of which are no multiples of one number
        assert [layer.weight_bits for layer in network.layers.values()] == [8]
    assert differences(path, tmp_path).max() < 1e-3


def test_a_file_that_onnx_runtime_changes_is_compared_as_it_is_written(tmp_path: Path) -> None:
    """It quantizes float weights between quantized tensors to 8 bits by itself."""
    model = pooled()
    weight = model.random.normal(size=(8, 10)) * 10.0 ** model.random.uniform(-3, 0, (8, 1))
    quantized_around(model, "Gemm", model.constant(weight), model.constant(np.full(10, 0.3)))
    path = model.save(tmp_path)
    network = import_foreign(path, Preprocessing())
    assert "as it is written, without ONNX Runtime's optimizations" in network.metadata["import"]
    images = pixels(6, 12, 12, 3)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options)
    inputs = (images / np.float32(255)).transpose(0, 3, 1, 2).astype(np.float32)
    wanted = np.stack([session.run(None, {"x": x[None]})[0][0] for x in inputs])
    assert np.allclose(reference_logits(network.to_onnx(), images), wanted, atol=1e-5)
    assert network.graph.metadata[OPTIMIZATIONS] == "off"


@pytest.mark.parametrize("opset", [17, 21])
def test_normalisations_without_inferred_shapes_are_written_out(opset: int, tmp_path: Path) -> None:
    """Of mean and variance; and by groups, which operator set 21 has."""
    model = Model(opset=opset)
    model.conv(8)
    model.add("MeanVarianceNormalization")
    if opset >= 21:
        scale, bias = (model.random.uniform(0.5, 2, 8) for _ in range(2))
        names = model.constant(scale), model.constant(bias)
        model.add("GroupNormalization", model.current, *names, num_groups=4)
    model.add("Relu")
    path = model.classify().save(tmp_path)
    assert differences(path, tmp_path).max() < 1e-3


def test_groups_of_a_scale_that_is_computed_are_refused(tmp_path: Path) -> None:
    model = Model(opset=21)
    model.conv(8)
    image = model.current
    model.add("GlobalAveragePool")
    model.add("Reshape", model.current, model.constant([8], np.int64))
    model.add("GroupNormalization", image, model.current, model.current, num_groups=4)
    with pytest.raises(UnsupportedOperatorError, match="its scale is not constant"):
        import_foreign(model.classify().save(tmp_path), Preprocessing())
