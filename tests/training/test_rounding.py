"""Weights to levels, against plain numpy."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bitat_deploy.training.rounding import (
    ROUNDINGS,
    adaround,
    descent,
    nearest,
    nearest_levels,
    output_error,
    output_errors,
)

Array = NDArray[np.float64]
SHAPES = [(1, 13, 5), (6, 9, 1), (3, 1, 2), (2, 7, 3)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads only wait for each other where tensors are this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drawn(groups: int, d: int, outputs: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Covariance of correlated inputs, and weights."""
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(groups, 40 * d, d)) @ generator.normal(size=(groups, d, d))
    H = np.stack([np.cov(np.maximum(x, 0), rowvar=False).reshape(d, d) for x in inputs])
    return torch.from_numpy(H), torch.from_numpy(generator.normal(size=(groups, d, outputs)))


def error(H: Array, t: Array, b: Array) -> float:
    """Of levels with their best scale."""
    alpha = t @ H @ b / (b @ H @ b)
    return float((t - alpha * b) @ H @ (t - alpha * b))


def levels_of(bits: int) -> list[float]:
    whole, odd = range(-127, 128), range(1 - 2**bits, 2**bits, 2)
    return [float(level) for level in (whole if bits == 8 else odd)]


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", sorted(ROUNDINGS))
def test_levels_with_their_best_scale(name: str, shape: tuple[int, int, int], bits: int) -> None:
    H, target = drawn(*shape)
    options: dict[str, Any] = {"steps": 20} if name == "adaround" else {}
    rounded = ROUNDINGS[name](H, target, bits, **options)
    assert rounded.alpha.shape == (shape[0], 1, shape[2])
    assert float(rounded.alpha.min()) > 0
    assert set(rounded.levels.unique().tolist()) <= set(levels_of(bits))
    errors = output_errors(H, target - rounded.weight()).numpy()
    for group, output in itertools.product(range(shape[0]), range(shape[2])):
        t, b = target[group, :, output].numpy(), rounded.levels[group, :, output].numpy()
        assert errors[group, 0, output] == pytest.approx(error(H[group].numpy(), t, b), abs=1e-12)
    assert float(output_error(H, target - rounded.weight())) == pytest.approx(errors.sum())


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_nearest_levels(bits: int) -> None:
    values = np.linspace(-(2**bits) - 2, 2**bits + 2, 401)
    levels = np.array(levels_of(bits))
    distances = np.abs(values[:, None] - levels[::-1])  # of two equal ones the upper comes first
    expected = levels[::-1][distances.argmin(axis=1)]
    assert np.array_equal(nearest_levels(torch.from_numpy(values), bits).numpy(), expected)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_descent_never_raises_the_error(shape: tuple[int, int, int], bits: int) -> None:
    H, target = drawn(*shape, seed=bits)
    results = [descent(H, target, bits, sweeps) for sweeps in range(6)]
    errors = [output_errors(H, target - result.weight()) for result in results]
    assert (errors[0] <= output_errors(H, target - nearest(H, target, bits).weight()) + 1e-12).all()
    for earlier, later in itertools.pairwise(errors):
        assert (later <= earlier + 1e-12).all()


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_descent_ends_where_no_other_level_is_better(bits: int) -> None:
    H, target = drawn(2, 7, 3, seed=4)
    result = descent(H, target, bits, sweeps=50)
    for group, output, i in itertools.product(range(2), range(3), range(7)):
        t, alpha = target[group, :, output].numpy(), float(result.alpha[group, 0, output])
        own = H[group].numpy()
        chosen = result.levels[group, :, output].numpy()
        residual = t - alpha * chosen
        least = residual @ own @ residual
        for level in levels_of(bits):
            other = chosen.copy()
            other[i] = level
            assert (t - alpha * other) @ own @ (t - alpha * other) >= least - 1e-12


def test_gptq_by_hand() -> None:
    """Two inputs of variance 4 and 1: the second makes up for the first one's error."""
    H = torch.tensor([[[4.0, 1.0], [1.0, 1.0]]], dtype=torch.float64)
    target = torch.tensor([[[1.4], [-0.1]]], dtype=torch.float64)
    # Signs, whatever the scale a: 1.4 becomes a = 0.75, the error 0.65 moves the second by
    # 0.65 H_12 / H_22 = 0.65, from -0.1 to 0.55.
    assert ROUNDINGS["gptq"](H, target, 1).levels.flatten().tolist() == [1, 1]
    assert ROUNDINGS["nearest"](H, target, 1).levels.flatten().tolist() == [1, -1]


@pytest.mark.parametrize("name", ["adaround", "descent", "gptq"])
@pytest.mark.parametrize("bits", [2, 3])
def test_they_beat_the_nearest_levels(name: str, bits: int) -> None:
    H, target = drawn(1, 40, 16, seed=7)
    plain = output_error(H, target - nearest(H, target, bits).weight())
    better = output_error(H, target - ROUNDINGS[name](H, target, bits).weight())
    assert better < 0.95 * plain


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("name", sorted(ROUNDINGS))
def test_channels_without_inputs_or_weights(name: str, bits: int) -> None:
    """A channel whose inputs never vary, and a filter of zeros."""
    H, target = drawn(4, 9, 1)
    H[1] = 0
    target[2] = 0
    H[3], target[3] = 0, 0
    options: dict[str, Any] = {"steps": 20} if name == "adaround" else {}
    rounded = ROUNDINGS[name](H, target, bits, **options)
    assert rounded.weight().isfinite().all()
    assert set(rounded.levels.unique().tolist()) <= set(levels_of(bits))


def test_it_works_where_gradients_are_off() -> None:
    H, target = drawn(1, 9, 4)
    with torch.no_grad():
        assert adaround(H, target, 2, steps=5).levels.abs().max() <= 3
