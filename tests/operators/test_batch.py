"""Several images in one call: as one by one."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pytest

from bitat_deploy.operators import Operator
from bitat_deploy.target import load_target
from tests.operators.drawn_convolutions import convolution_inputs, drawn_convolutions
from tests.operators.drawn_operators import drawn_inputs, drawn_operators
from tests.operators.execution import Inputs, run_here
from tests.operators.test_bit_serial_depthwise import SHAPES, drawn_depthwise
from tests.operators.test_bit_serial_depthwise import drawn_inputs as depthwise_inputs

AnyOperator = TypeVar("AnyOperator", bound=Operator)


def one_of_each_kind(operators: Sequence[AnyOperator]) -> list[AnyOperator]:
    """The third or, of less, the last: small, but not one pixel of one channel."""
    kinds: dict[str, list[AnyOperator]] = {}
    for operator in operators:
        kinds.setdefault(operator.kind, []).append(operator)
    return [same[:3][-1] for same in kinds.values()]


@pytest.mark.parametrize("batch", [2, 3])
def test_every_operator(batch: int) -> None:
    target = load_target("host")
    random = np.random.default_rng(6)
    general = one_of_each_kind(drawn_operators(target, seed=6))
    depthwise = [drawn_depthwise(target, seed, SHAPES[seed]) for seed in (3, 5)]
    convolutions = one_of_each_kind(drawn_convolutions(target, seed=6))
    operators: list[Operator] = [*general, *depthwise, *convolutions]
    images: list[list[Inputs]] = [
        [
            *(drawn_inputs(operator, random) for operator in general),
            *(depthwise_inputs(operator, random) for operator in depthwise),
            *(convolution_inputs(operator, random) for operator in convolutions),
        ]
        for _ in range(batch)
    ]
    inputs = [
        tuple(np.concatenate(xs) for xs in zip(*of_operator, strict=True))
        for of_operator in zip(*images, strict=True)
    ]
    outputs = run_here(operators, inputs, target, batch)
    for index, (operator, output) in enumerate(zip(operators, outputs, strict=True)):
        expected = np.concatenate([operator.reference(*image[index]) for image in images])
        assert np.array_equal(output, expected), operator.workload
