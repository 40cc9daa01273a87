"""Every schedule that an operator's space has gives the reference's answer."""

from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.operators import Operator
from bitat_deploy.target import load_target
from tests.operators.drawn_layers import drawn_inputs, pointwise
from tests.operators.execution import run_here, run_in_qemu


@pytest.mark.parametrize("name", ["host", "rpi4"])
def test_pointwise(name: str, tmp_path: Path) -> None:
    target = load_target(name)
    random = np.random.default_rng(1)
    # More words than a byte's sums hold, no whole number of tiles, spare channels and bits.
    operator = pointwise(random, 3, 3, 260, 70).operator(target)
    operators: list[Operator] = [operator.with_schedule(s) for s in operator.space()]
    assert len(operators) > 10
    inputs = drawn_inputs(operator, random)
    every = [inputs] * len(operators)
    run = run_here if name == "host" else lambda *a: run_in_qemu(*a, tmp_path)
    for output, tried in zip(run(operators, every, target), operators, strict=True):
        assert np.array_equal(output, operator.reference(*inputs)), tried.schedule
