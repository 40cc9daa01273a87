"""Files that leave the size of their picture open, and what a user says of it."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from bitat_deploy.errors import InputError
from bitat_deploy.foreign import import_foreign
from bitat_deploy.foreign.input_size import fix_input
from bitat_deploy.network import Preprocessing
from tests.foreign.drawn_models import Model


def fixed(shape: list[Any], given: tuple[int, ...] | None) -> list[int]:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    fix_input(value, Path("model.onnx"), given)
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize(
    ("shape", "given", "wanted"),
    [
        ([1, 3, 20, 30], None, [1, 3, 20, 30]),
        (["N", 3, 20, 30], (20, 30), [1, 3, 20, 30]),
        (["N", 3, "H", "W"], (20, 30), [1, 3, 20, 30]),
        (["N", 3, "H", "W"], (20, 30, 3), [1, 3, 20, 30]),
        (["N", "C", "H", "W"], (20, 30, 4), [1, 4, 20, 30]),
        (["N", "H", "W", 3], (20, 30), [1, 20, 30, 3]),
        (["N", "H", "W", 1], (20, 30, 1), [1, 20, 30, 1]),
        (["N", None, 20, None], (20, 30, 1), [1, 1, 20, 30]),
        (["N", "H", "W"], (20, 30), [1, 20, 30]),
        (["N", "H", "W"], (20, 30, 1), [1, 20, 30]),
    ],
)
def test_completed(shape: list[Any], given: tuple[int, ...] | None, wanted: list[int]) -> None:
    assert fixed(shape, given) == wanted


@pytest.mark.parametrize(
    ("shape", "given", "words"),
    [
        (["N", 3, "H", "W"], None, r"no fixed size \(3x\?x\?\); give it with --input-shape"),
        (["N", 3, 20, 30], (30, 20), "--input-shape 30x20 does not fit input 'x'"),
        (["N", "C", "H", "W"], (20, 30), "and the channels where the file leaves them open"),
        (["N", 3, "H", "W"], (20, 30, 1), r"does not fit .* which is 3x\?x\?"),
        (["N", "H", "W"], (20, 30, 3), "does not fit"),
        ([2, 3, 20, 30], (20, 30), "is no picture"),
        (["N", 10], (20, 30), "is no picture"),
    ],
)
def test_refused(shape: list[Any], given: tuple[int, ...] | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        fixed(shape, given)


def test_a_file_of_open_size_is_read(tmp_path: Path) -> None:
    """The classifier's size depends on the picture's, as in a network for several sizes."""
    model = Model((3, 9, 14))
    model.conv(8, pads=[1] * 4)
    path = model.classify(classes=4).save(tmp_path)
    proto = onnx.load(path)
    for dimension, name in zip(
        proto.graph.input[0].type.tensor_type.shape.dim, "NCHW", strict=True
    ):
        if name != "C":
            dimension.dim_param = name
    onnx.save(proto, path)
    with pytest.raises(InputError, match="has no fixed size"):
        import_foreign(path, Preprocessing())
    network = import_foreign(path, Preprocessing(), (9, 14))
    assert network.input_shape == (9, 14, 3)
