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
    numbers = codes.scale.tolist(), codes.offset.tolist()
    return starts, codes.falling.tolist(), codes.bits, codes.signed, *numbers


@pytest.mark.parametrize(
    ("channel", "starts", "falling", "bits", "signed", "scale", "offset"),
    [
        (([10, 20, 30], [0, 0.5, 1, 1.5]), [10, 20, 30], False, 2, False, 0.5, 0),
        (([10, 20, 30], [1.5, 1, 0.5, 0]), [29, 19, 9], True, 2, False, 0.5, 0),
        (([7, 8], [1, 2, 3]), [ALWAYS, 7, 8], False, 2, False, 1, 0),
        (([7], [1, 3]), [7], False, 1, True, 1, 2),
        (([7], [0, 2]), [7], False, 1, False, 2, 0),
        (([5], [-3, 3]), [5], False, 1, True, 3, 0),
        (([5, 9], [-3, -1, 3]), [5, 9, 9], False, 2, True, 1, 0),
        # Whole numbers i as levels 2 i + 1, of which 0 is the level 1.
        (([5, 9], [-1, 0, 1]), [ALWAYS, 5, 9], False, 2, True, 0.5, -0.5),
        (([3, 5, 9], [-2, -1, 0, 1]), [3, 5, 9], False, 2, True, 0.5, -0.5),
        (([3, 5, 9], [1, 0, -1, -2]), [8, 4, 2], True, 2, True, 0.5, -0.5),
        # Two values of any size.
        (([5], [-0.25, 0.75]), [5], False, 1, True, 0.5, 0.25),
        (([5], [4.0625, 4]), [4], True, 1, True, 0.03125, 4.03125),
        (([], [0]), [NEVER], False, 1, False, 1, 0),
    ],
)
def test_codes(
    channel: tuple[list[int], list[float]],
    starts: list[int],
    falling: bool,
    bits: int,
    signed: bool,
    scale: float,
    offset: float,
) -> None:
    found = described(code_steps(steps(channel)))
    assert found == ([[starts]], [falling], bits, signed, [scale], [offset])


def test_more_than_four_bits_of_whole_numbers_are_two_copies() -> None:
    found = code_steps(steps(([1, 2], [-8, 1, 8])))
    assert found is not None and found.bits == 4
    levels = [np.array([[-7, 1, 9], [-9, 1, 7]])]
    for copy, (low, middle, high) in zip(found.starts, levels[0], strict=True):
        codes = [np.searchsorted(copy[0], at, side="right") for at in (0, 1, 2)]
        assert [2 * code - 15 for code in codes] == [low, middle, high]


def test_a_channel_that_does_not_change_has_the_scale_of_the_others() -> None:
    found = described(code_steps(steps(([5], [-0.3, 0.5]), ([], [0.7]))))
    assert found[0] == [[[5], [ALWAYS]]]
    assert np.allclose(found[4:], [[0.4, 0.4], [0.1, 0.3]])


def test_channels_of_other_scales() -> None:
    found = described(code_steps(steps(([1], [0, 0.3]), ([2], [0, np.pi]))))
    assert found == ([[[1], [2]]], [False, False], 1, False, [0.3, np.pi], [0, 0])
    assert code_steps(steps(([1, 2], [0, 1, np.pi]))) is None  # no multiples of one number
    assert code_steps(steps(([1, 2], [0, 1, 16]))) is None  # more than 4 bits


def test_codes_like_others() -> None:
    like = code_steps(steps(([10, 20, 30], [0, 0.5, 1, 1.5])))
    assert like is not None
    found = code_steps_like(steps(([3, 4], [0, 0.5, 1.5])), like)
    assert described(found) == ([[[3, 4, 4]]], [False], 2, False, [0.5], [0])
    for values in ([0, 0.6], [0, 2.0], [-0.5, 0.5]):
        assert code_steps_like(steps(([3], values)), like) is None
    signed = code_steps(steps(([5], [-1, 1])))
    assert signed is not None
    assert code_steps_like(steps(([3], [-1, 0])), signed) is None


def test_weights() -> None:
    found = weight_levels(np.array([[0.5, -1.5, -0.5], [2, 2, -2]]))
    assert found is not None
    assert (found.bits, found.scale.tolist()) == (2, [0.5, 2])
    assert [copy.tolist() for copy in found.copies] == [[[1, -3, -1], [1, 1, -1]]]
    assert weight_levels(np.array([[1.0, 16.0, 0]])) is None


def restored(weight: np.ndarray, groups: int = 1) -> tuple[np.ndarray, int, int]:
    """The weights from their levels, how many bits and how many copies."""
    found = weight_levels(weight, groups)
    assert found is not None
    assert all((copy % 2 == 1).all() for copy in found.copies)
    shape = (-1,) + (1,) * (weight.ndim - 1)
    mean = np.mean(found.copies, axis=0)
    again = mean * found.scale.reshape(shape) + found.offset.reshape(shape)
    return again, found.bits, len(found.copies)


@pytest.mark.parametrize(
    ("weight", "groups", "bits", "copies"),
    [
        ([[1.0, 0, -1]], 1, 2, 1),
        ([[1.0, 0, -1]], 2, 1, 2),
        ([[0.5, -4, 3.5, 0]], 1, 4, 1),
        ([[0.5, 4, 3.5, 0]], 1, 4, 2),
        ([[0.21, -0.13, 0.21], [-2, -2, -2], [0, 0, 0], [0.5, 0.25, 0.5]], 1, 1, 1),
        ([[0.21, -0.13, 0.21], [0.3, 0.3, 1.4]], 3, 1, 1),
    ],
)
def test_weights_of_all_kinds(
    weight: list[list[float]], groups: int, bits: int, copies: int
) -> None:
    again, found_bits, found_copies = restored(np.array(weight), groups)
    assert (found_bits, found_copies) == (bits, copies)
    assert np.allclose(again, weight, rtol=1e-12)


def test_weights_that_a_gradient_rounded_are_signs() -> None:
    random = np.random.default_rng(0)
    latent = np.clip(random.normal(0, 0.4, (8, 300)), -1, 1).astype(np.float32)
    exact = np.float32(0.013) * np.sign(latent)
    rounded = (exact - latent) + latent
    assert (rounded != exact).any()
    found = weight_levels(rounded.astype(np.float64))
    assert found is not None and (found.bits, found.offset.any()) == (1, False)
    assert (found.copies[0] == np.sign(latent)).all()
