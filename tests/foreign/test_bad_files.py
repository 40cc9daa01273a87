"""A file that cannot be taken gives one sentence that says what and where."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.foreign import import_foreign
from bitat_deploy.network import Preprocessing
from tests.foreign.drawn_models import Model

QONNX = "qonnx.custom_op.general"


def of_another_size() -> onnx.ModelProto:
    model = Model()
    model.add("MatMul", model.current, model.constant(np.ones((5, 5))))
    return model.proto()


def two_inputs() -> onnx.ModelProto:
    proto = Model().classify().proto()
    proto.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]))
    return proto


def free_size() -> onnx.ModelProto:
    proto = Model().classify().proto()
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    return proto


def no_vector() -> onnx.ModelProto:
    model = Model()
    model.conv(4)
    proto = model.proto()
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    for name in "NCHW":
        proto.graph.output[0].type.tensor_type.shape.dim.add().dim_param = name
    return proto


def trunc() -> onnx.ModelProto:
    model = Model()
    model.add("Trunc", domain=QONNX)
    return model.classify().proto()


def stochastic() -> onnx.ModelProto:
    model = Model()
    constants = (model.constant(0.1), model.constant(0), model.constant(4))
    model.add("Quant", model.current, *constants, domain=QONNX, rounding_mode="STOCHASTIC")
    return model.classify().proto()


def of_another_vendor() -> onnx.ModelProto:
    model = Model()
    model.add("FusedThing", domain="com.example")
    return model.classify().proto()


def of_double() -> onnx.ModelProto:
    model = Model()
    model.add("Cast", to=TensorProto.DOUBLE)
    model.add("LRN", size=3)
    model.add("Cast", to=TensorProto.FLOAT)
    return model.classify().proto()


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (of_another_size, "shapes in .* contradict"),
        (two_inputs, "2 inputs and 1 outputs"),
        (free_size, "'x' of .* no fixed size"),
        (no_vector, r"output .* is \[1, 4, 10, 10\], and not \[1, classes\]"),
        (trunc, r"Trunc \(node 'trunc0'\) is not supported; of QONNX"),
        (stochastic, r"Quant \(node 'quant0'\) has rounding mode 'STOCHASTIC'"),
        (of_double, "ONNX Runtime, which gives the reference, does not run operator LRN"),
        (of_another_vendor, r"com.example.FusedThing \(node .* is not supported"),
    ],
)
def test_one_sentence(draw, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    onnx.save(draw(), path)
    with pytest.raises((InputError, UnsupportedOperatorError), match=words) as caught:
        import_foreign(path, Preprocessing())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("preprocessing", "words"),
    [
        (Preprocessing(mean=(0.5, 0.5)), "mean has 2 values"),
        (Preprocessing(resized_to=(8, 7)), "smaller than the network's 12x12"),
    ],
)
def test_preprocessing_that_does_not_fit(
    preprocessing: Preprocessing, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        import_foreign(Model().classify().save(tmp_path), preprocessing)
