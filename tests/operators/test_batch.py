"""Several images in one call: as one by one."""

import numpy as np
import pytest

from bitat_deploy.operators import Operator
from bitat_deploy.target import load_target
from tests.operators.drawn_layers import drawn_inputs, drawn_operators
from tests.operators.execution import run_here


@pytest.mark.parametrize("batch", [2, 3])
def test_every_operator(batch: int) -> None:
    """The third or, of less, the last of each kind: small, but not one pixel of one channel."""
    target = load_target("host")
    random = np.random.default_rng(6)
    kinds: dict[str, list[Operator]] = {}
    for operator in drawn_operators(target, seed=6):
        kinds.setdefault(operator.kind, []).append(operator)
    operators = [same[:3][-1] for same in kinds.values()]
    images = [[drawn_inputs(operator, random) for operator in operators] for _ in range(batch)]
    inputs = [
        tuple(np.concatenate(xs) for xs in zip(*of_operator, strict=True))
        for of_operator in zip(*images, strict=True)
    ]
    outputs = run_here(operators, inputs, target, batch)
    for index, (operator, output) in enumerate(zip(operators, outputs, strict=True)):
        expected = np.concatenate([operator.reference(*image[index]) for image in images])
        assert np.array_equal(output, expected), operator.workload
