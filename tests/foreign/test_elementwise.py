"""What belongs to a chain of operators that treat every value of a channel alike."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.foreign.elementwise import chains_before
from bitat_deploy.foreign.load import load_graph
from tests.foreign.drawn_models import Model


def lengths(model: Model, folder: Path) -> list[int]:
    """Of the chains before the tensor that is current."""
    end = model.current
    graph = load_graph(model.classify().save(folder))
    return [len(chain.nodes) for chain in chains_before(graph, end)]


def image() -> Model:
    model = Model()
    model.conv(4)
    model.add("Relu")
    return model


def test_constants_of_channels_belong_to_it(tmp_path: Path) -> None:
    model = image()
    model.add("Mul", model.current, model.constant(np.ones((4, 1, 1))))
    model.add("Add", model.current, model.constant(1))
    assert lengths(model, tmp_path) == [3, 2, 1]


def of_rows(model: Model) -> None:
    model.add("Mul", model.current, model.constant(np.ones((10, 1))))


def more_channels(model: Model) -> None:
    model.conv(1)
    model.add("Mul", model.current, model.constant(np.ones((4, 1, 1))))
    model.channels = 4


def another_tensor(model: Model) -> None:
    before = model.current
    mean = model.add("GlobalAveragePool")
    model.add("Mul", before, mean)


def scales_of_channels(model: Model) -> None:
    scales, zeros = model.constant([0.1] * 4), model.constant([0] * 4, np.uint8)
    model.add("QuantizeLinear", model.current, scales, zeros, axis=1)
    model.add("DequantizeLinear", model.current, scales, zeros, axis=1)


def statistics_of_the_picture(model: Model) -> None:
    constants = [model.constant(np.ones(4)) for _ in range(4)]
    further = ("mean", "variance")
    model.add(
        "BatchNormalization", model.current, *constants, training_mode=1, further_outputs=further
    )


@pytest.mark.parametrize(
    "add", [of_rows, more_channels, another_tensor, scales_of_channels, statistics_of_the_picture]
)
def test_these_end_it(add: Callable[[Model], None], tmp_path: Path) -> None:
    model = image()
    add(model)
    model.add("Neg")
    assert lengths(model, tmp_path) == [1]


def test_none_of_five_axes(tmp_path: Path) -> None:
    model = image()
    end = model.add("Mul", model.current, model.constant(np.ones((1, 1, 1, 1, 1))))
    model.add("Squeeze", end, model.constant([0], np.int64))
    assert chains_before(load_graph(model.classify().save(tmp_path)), end) == []
