"""A schedule changes the time of an operator, not its result."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.operators import (
    BitSerialSchedule,
    DepthwiseSchedule,
    Operator,
    PointwiseSchedule,
)
from bitat_deploy.operators.quantized_conv import OrderedConvSchedule, QuantizedConvSchedule
from bitat_deploy.target import load_target
from tests.drawn_networks import Draw
from tests.operators.drawn_layers import (
    KEEP,
    ONE,
    PICTURE,
    SIGNED,
    SUMS,
    TOP,
    UNSIGNED,
    ZERO,
    convolution,
    depthwise,
    picture,
    pointwise,
)
from tests.operators.execution import check

POINTWISE = [
    PointwiseSchedule(8, 16, 3, 2, 1),
    PointwiseSchedule(8, 16, 4, 1, 3),
    PointwiseSchedule(32, 32, 2, 2, 7),
    PointwiseSchedule(8, 16, 4, 1, 1, table_bytes=8, table_words=2),
    PointwiseSchedule(8, 16, 2, 2, 1, table_bytes=16, table_words=1),
]
WIDE_TABLES = PointwiseSchedule(32, 64, 1, 1, 31, table_bytes=64, table_words=2)


def test_pointwise() -> None:
    target = load_target("host")
    random = np.random.default_rng(4)
    operators = [
        pointwise(random, *shape).operator(target, schedule)
        for schedule in [*POINTWISE, PointwiseSchedule(32, target.vector_bytes, 2, 1, 5)]
        for shape in [(1, 3, 70, 40), (1, 3, 700, 33), (9, 15, 200, 300), (2, 1, 24, 256)]
    ]
    wide = [pointwise(random, 8, 8, channels, 520) for channels in (64, 330)]
    check([*operators, *(one.operator(target, WIDE_TABLES) for one in wide)], target)


def test_depthwise() -> None:
    target = load_target("host")
    operators = [
        depthwise(Draw(5), ((6, 7, 200), (3, stride, 1, TOP, 1), (1, 1, SIGNED), 1)).operator(
            target, DepthwiseSchedule(size)
        )
        for stride in (1, 2)
        for size in (16, 32)
    ]
    check(operators, target)


@pytest.mark.parametrize("name", ["host", "rpi4"])
def test_general_convolutions(name: str, tmp_path: Path) -> None:
    """The workload does not name the schedule."""
    target = load_target(name)
    draw = Draw(4)
    shape = ((6, 7, 1, 20, 48), (3, 1, 2, ZERO, 2), (2, 2, UNSIGNED), 2)
    operators: list[Operator] = []
    for layer in (convolution(draw, shape), picture(draw, PICTURE[2])):
        operator = layer.operator(target)
        schedules = operator.space()
        assert len(set(schedules)) == len(schedules) > 1
        chosen = draw.random.choice(len(schedules), 4, replace=False)
        tuned = [operator.with_schedule(schedules[index]) for index in chosen]
        assert {one.workload for one in tuned} == {operator.workload}
        operators += tuned
    check(operators, target, tmp_path)


@pytest.mark.parametrize("name", ["host", "rpi4", "rpi5"])
def test_a_layer_that_multiplies_bytes_by_default_may_count_bits(name: str) -> None:
    layer = convolution(Draw(4), ((4, 4, 1, 64, 66), ONE, (4, 4, UNSIGNED), 4))
    operator = layer.operator(load_target(name))
    assert isinstance(operator.default_schedule, QuantizedConvSchedule)
    kinds = {type(schedule) for schedule in operator.space()}
    assert kinds - {OrderedConvSchedule} == {BitSerialSchedule, QuantizedConvSchedule}


def test_a_run_of_which_31_bytes_are_counted_before_they_are_added(tmp_path: Path) -> None:
    target = load_target("rpi4")
    shape = ((3, 3, 1, 128, 20), (2, 1, 0, ZERO, 1), (1, 1, SIGNED), SUMS)  # 32 bytes, two by two
    schedule = BitSerialSchedule(8, 1, 1, words=2)
    check([convolution(Draw(5), shape).operator(target, schedule)], target, tmp_path)


def test_threads_share_large_layers() -> None:
    target = replace(load_target("host"), cores=3)
    draw = Draw(6)
    large, small = (
        depthwise(draw, (size, KEEP, (1, 1, SIGNED), 1)).operator(target)
        for size in ((58, 57, 120), (7, 7, 120))
    )
    operators = [large, pointwise(draw.random, 28, 28, 128, 200).operator(target)]
    assert all("T.parallel" in str(operator.prim_func()) for operator in operators)
    check(operators, target)
    assert "T.parallel" not in str(small.prim_func())
