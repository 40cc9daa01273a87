"""Chains that are no step functions are told from those that are."""

import numpy as np
import pytest

from bitat_deploy.foreign.steps import find_steps

LOWEST, HIGHEST = np.array([0]), np.array([1 << 20])


def test_positions_and_values_of_steps() -> None:
    steps = find_steps(lambda x: (x >= 1000).astype(float) + (x >= 1001), LOWEST, HIGHEST)
    assert steps is not None
    assert [list(row) for row in steps.starts] == [[1000, 1001]]
    assert [list(row) for row in steps.values] == [[0, 1, 2]]


@pytest.mark.parametrize("width", [1 << 9, 1 << 11, 1 << 13])
@pytest.mark.parametrize("peak", [-1, 5])
def test_a_peak_beside_a_step_is_none(width: int, peak: float) -> None:
    def function(x: np.ndarray) -> np.ndarray:
        return np.where(x < 500_000, 0.0, np.where(x < 500_000 + width, peak, 1))

    assert find_steps(function, LOWEST, HIGHEST) is None
