"""What TVM compiles of a network computes what the file computes; the rest is named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.compiler import float_region
from bitat_deploy.compiler.compile import compile_model
from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.target import load_target
from tests.foreign.answers import differences
from tests.foreign.drawn_models import Model


def drawn() -> Model:
    model = Model(shape=(3, 8, 8))
    model.conv(8, pads=[1] * 4)
    return model


def split(model: Model) -> str:
    """The first part; the second is tensor "second"."""
    sizes = model.constant([3, 5], np.int64)
    return model.add("Split", model.current, sizes, axis=1, further_outputs=("second",))


def swapped_halves(model: Model) -> None:
    split(model)
    model.add("Concat", "second", model.add("Relu"), axis=1)


def one_half(model: Model) -> None:
    split(model)
    model.add("Relu", "second")
    model.channels = 5


def shuffled_unit(model: Model) -> None:
    """ShuffleNet's: one half goes around, then channels take turns."""
    model.add("Split", further_outputs=("second",), axis=1)
    first = model.current
    model.current, model.channels = "second", 4
    model.conv(4, 1)
    model.add("Relu")
    model.add("Concat", first, model.current, axis=1)
    model.channels = 8
    model.add("Reshape", model.current, model.constant([1, 2, 4, 8, 8], np.int64))
    model.add("Transpose", perm=[0, 2, 1, 3, 4])
    model.add("Reshape", model.current, model.constant([1, 8, 8, 8], np.int64))


def cumulative_sum(model: Model) -> None:
    model.add("CumSum", model.current, model.constant(3, np.int64))


def line(model: Model) -> None:
    """A convolution along one axis, between others of two."""
    model.add("Reshape", model.current, model.constant([1, 8, 64], np.int64))
    weight = model.constant(model.random.normal(0, 0.3, (8, 8, 5)))
    model.add("Conv", model.current, weight, pads=[1, 2], strides=[2])
    model.add("Tanh")
    model.add("AveragePool", kernel_shape=[3], strides=[1], pads=[1, 1])
    model.add("Mul", model.current, model.constant(model.random.normal(0, 1, (8, 1))))
    model.add("Unsqueeze", model.current, model.constant([2], np.int64))


def short_rows(model: Model) -> None:
    """1x1 convolutions of 8x8, 4x4 and 3x3 pixels, whose rows are joined, alone and not alone."""
    model.conv(24, 1, bias=True)
    model.add("Relu")
    model.conv(9, 1, strides=[2, 2])
    model.conv(10, 1)
    model.conv(10, 2, group=10)
    model.conv(7, 1)
    model.add("Sigmoid")


@pytest.mark.parametrize(
    "add", [swapped_halves, one_half, shuffled_unit, cumulative_sum, line, short_rows]
)
def test_layers_give_what_the_file_gives(add: Callable[[Model], None], tmp_path: Path) -> None:
    model = drawn()
    add(model)
    assert differences(model.classify().save(tmp_path), tmp_path).max() < 1e-3


def largest(model: Model) -> None:
    model.add("Relu")
    count = model.constant([4], np.int64)
    model.add("TopK", model.current, count, further_outputs=("places",), axis=3)


def one_hot(model: Model) -> None:
    """TVM gives float64 for it."""
    model.add("ArgMax", axis=1, keepdims=0)
    model.add("OneHot", model.current, model.constant(8, np.int64), model.constant([0, 1]), axis=1)


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (largest, r"operator TopK \(node 'topk2'\) .* calls tvm.contrib.sort.topk"),
        (one_hot, r"operator OneHot \(node 'onehot2'\) .* float64"),
    ],
)
def test_what_tvm_does_not_compile_is_named(
    add: Callable[[Model], None], words: str, tmp_path: Path
) -> None:
    model = drawn()
    add(model)
    with pytest.raises(UnsupportedOperatorError, match=words) as caught:
        build_bundle(model.classify().save(tmp_path), load_target("host"), tmp_path / "bundle")
    assert "\n" not in str(caught.value)


def test_what_tvm_refuses_at_the_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check of each layer, only the whole network's compilation meets it."""
    monkeypatch.setattr(float_region, "_check_lowered", lambda graph, region: None)
    without = [step for step in float_region._PASSES.passes if "Scan" not in step.info.name]
    monkeypatch.setattr(float_region, "_PASSES", float_region.Sequential(without))
    model = drawn()
    cumulative_sum(model)
    with pytest.raises(UnsupportedOperatorError, match=r"operator CumSum \(node 'cumsum1'\)"):
        path = model.classify().save(tmp_path)
        compile_model(path, load_target("host"), tmp_path / "model.so")
