"""Real numbers as whole levels, against levels found by hand."""

import numpy as np
import pytest

from bitat_deploy.foreign.levels import (
    ALWAYS,
    NEVER,
    CodeSteps,
    code_steps,
    code_steps_like,
    weight_levels,
)
from bitat_deploy.foreign.steps import Steps


def steps(*channels: tuple[list[int], list[float]]) -> Steps:
    return Steps(
        tuple(np.array(starts, np.int64) for starts, _ in channels),
        tuple(np.array(values) for _, values in channels),
    )


def described(codes: CodeSteps | None) -> tuple[object, ...]:
    assert codes is not None
    starts = [copy.tolist() for copy in codes.starts]
    return starts, codes.falling.tolist(), codes.bits, codes.signed, codes.scale.tolist()


@pytest.mark.parametrize(
    ("channel", "starts", "falling", "bits", "signed", "scale"),
    [
        (([10, 20, 30], [0, 0.5, 1, 1.5]), [[10, 20, 30]], False, 2, False, 0.5),
        (([10, 20, 30], [1.5, 1, 0.5, 0]), [[29, 19, 9]], True, 2, False, 0.5),
        (([7], [1, 3]), [[ALWAYS, 7, 7]], False, 2, False, 1),
        (([7], [0, 2]), [[7]], False, 1, False, 2),
        (([5], [-3, 3]), [[5]], False, 1, True, 3),
        (([5, 9], [-3, -1, 3]), [[5, 9, 9]], False, 2, True, 1),
        # Even levels: two copies, whose mean they are.
        (([5, 9], [-1, 0, 1]), [[5], [9]], False, 1, True, 1),
        (([], [0]), [[NEVER]], False, 1, False, 1),
    ],
)
def test_codes(
    channel: tuple[list[int], list[float]],
    starts: list[list[int]],
    falling: bool,
    bits: int,
    signed: bool,
    scale: float,
) -> None:
    found = described(code_steps(steps(channel)))
    assert found == ([[row] for row in starts], [falling], bits, signed, [scale])


def test_channels_of_other_scales() -> None:
    found = described(code_steps(steps(([1], [0, 0.3]), ([2], [0, np.pi]))))
    assert found == ([[[1], [2]]], [False, False], 1, False, [0.3, np.pi])
    assert code_steps(steps(([1, 2], [0, 1, np.pi]))) is None  # no multiples of one number
    assert code_steps(steps(([1, 2], [0, 1, 16]))) is None  # more than 4 bits


def test_codes_like_others() -> None:
    like = code_steps(steps(([10, 20, 30], [0, 0.5, 1, 1.5])))
    assert like is not None
    found = code_steps_like(steps(([3, 4], [0, 0.5, 1.5])), like)
    assert described(found) == ([[[3, 4, 4]]], [False], 2, False, [0.5])
    for values in ([0, 0.6], [0, 2.0], [-0.5, 0.5]):
        assert code_steps_like(steps(([3], values)), like) is None
    signed = code_steps(steps(([5], [-1, 1])))
    assert signed is not None
    assert code_steps_like(steps(([3], [-1, 0])), signed) is None


def test_weights() -> None:
    found = weight_levels(np.array([[0.5, -1.5, 0.5], [2, 2, -2]]))
    assert found is not None
    assert (found.bits, found.scale.tolist()) == (2, [0.5, 2])
    assert [copy.tolist() for copy in found.copies] == [[[1, -3, 1], [1, 1, -1]]]
    ternary = weight_levels(np.array([[1.0, 0, -1]]))
    assert ternary is not None
    assert (ternary.bits, ternary.scale.tolist()) == (1, [1])
    assert [copy.tolist() for copy in ternary.copies] == [[[1, 1, -1]], [[1, -1, -1]]]
    assert weight_levels(np.array([[1.0, 16.0]])) is None
