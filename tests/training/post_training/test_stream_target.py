"""Moments and equation (6), against plain numpy."""

import numpy as np
import pytest
import torch

from bitat_deploy.training.post_training import Moments, MomentSums, stream_target

SHAPES = [(1, 11, 5), (4, 9, 1), (2, 1, 3)]


def moments_of(x: np.ndarray, y: np.ndarray) -> Moments:
    """Of [groups, count, d] and [groups, count, outputs], given in three unequal parts."""
    sums = MomentSums()
    for part in (slice(0, 30), slice(30, 31), slice(31, None)):
        sums.add(torch.from_numpy(x[:, part]), torch.from_numpy(y[:, part]))
    return sums.read()


def drawn(groups: int, d: int, outputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, outputs that are nearly linear in them, and the weights that say how."""
    generator = np.random.default_rng(3)
    x = generator.normal(1, 2, size=(groups, 200, d)) @ generator.normal(size=(groups, d, d))
    w = generator.normal(size=(groups, d, outputs))
    return x, x @ w + generator.normal(3, 0.1, size=(groups, 200, outputs)), w


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_moments(shape: tuple[int, int, int]) -> None:
    x, y, _ = drawn(*shape)
    moments = moments_of(x, y)
    for group in range(shape[0]):
        both = np.cov(np.hstack([x[group], y[group]]), rowvar=False, bias=True)
        d = shape[1]
        assert np.allclose(moments.covariance[group], both[:d, :d])
        assert np.allclose(moments.cross[group], both[:d, d:])
        assert np.allclose(moments.variance[group], np.diag(both)[d:])
        assert np.allclose(moments.inputs[group], x[group].mean(axis=0))
        assert np.allclose(moments.outputs[group], y[group].mean(axis=0))


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_target_is_a_ridge_regression(shape: tuple[int, int, int], prior: bool) -> None:
    """The least squares of equations for the rows, and d more for the ridge."""
    x, y, w = drawn(*shape)
    target = stream_target(moments_of(x, y), torch.from_numpy(w), 0.3, prior).numpy()
    groups, d, _ = shape
    for group in range(groups):
        centred, wanted = x[group] - x[group].mean(axis=0), y[group] - y[group].mean(axis=0)
        ridge = 0.3 * np.square(centred).mean()
        rows = np.vstack([centred / np.sqrt(len(centred)), np.sqrt(ridge) * np.eye(d)])
        pull = np.sqrt(ridge) * w[group] if prior else np.zeros_like(w[group])
        goal = np.vstack([wanted / np.sqrt(len(centred)), pull])
        assert np.allclose(target[group], np.linalg.lstsq(rows, goal, rcond=None)[0], atol=1e-6)


def test_without_ridge_it_finds_the_weights_again() -> None:
    x, _, w = drawn(2, 7, 3)
    target = stream_target(moments_of(x, x @ w), torch.zeros(2, 7, 3), 0, prior=False)
    assert np.allclose(target, w, atol=1e-6)


def test_inputs_that_never_vary_keep_the_references_weights() -> None:
    x, y, w = drawn(3, 9, 1)
    x[1] = 2.0
    target = stream_target(moments_of(x, y), torch.from_numpy(w), 0.1, prior=True)
    assert np.allclose(target[1], w[1])
    assert stream_target(moments_of(x, y), torch.from_numpy(w), 0.1, prior=False).isfinite().all()
