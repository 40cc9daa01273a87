"""Thresholds that are moved below normalizations and activations, against their definitions."""

import numpy as np
import pytest
import torch

from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.training.own_network.form import Affine, threshold_below
from bitat_deploy.training.own_network.graph import Operation

CHANNELS = 7


def drawn(seed: int, names: str) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.normal(size=CHANNELS) for _ in names.split()]


def test_the_input_that_reaches_a_value() -> None:
    gain, centre, offset, wanted = drawn(1, "gain centre offset wanted")
    gain[:2] = 0
    wanted[:2] = offset[:2] + np.array([-0.5, 0.5])  # always, never
    x, falls = Affine(gain, centre, offset).before(wanted)
    assert x[:2].tolist() == [-np.inf, np.inf]
    reached = gain[2:] * (x - centre)[2:] + offset[2:]
    np.testing.assert_allclose(reached, wanted[2:])
    assert np.array_equal(falls, gain < 0) and falls.any()


def operations(seed: int) -> dict[str, Operation]:
    """A normalization of rising channels, and a leaky activation that clips, behind it."""
    gamma, beta, mean, deviation, slope = drawn(seed, "gamma beta mean deviation slope")
    tensors = {"gamma": abs(gamma) + 0.1, "beta": beta, "mean": mean}
    tensors["deviation"] = abs(deviation) + 0.5
    one = Operation("one", "normalization", ("below",), (CHANNELS,), {}, as_tensors(tensors))
    values, leaky = {"low": -1.0, "high": 1.5}, as_tensors({"slope": abs(slope)})
    two = Operation("two", "activation", ("one",), (CHANNELS,), values, leaky)
    return {"one": one, "two": two}


def as_tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def test_a_threshold_below_two_operations() -> None:
    parts = operations(2)
    names = ("gamma", "beta", "mean", "deviation")
    gamma, beta, mean, deviation = (parts["one"].array(name) for name in names)
    (wanted,) = drawn(3, "wanted")
    x = np.random.default_rng(4).normal(scale=4, size=(1000, CHANNELS))
    value = (x - mean) / deviation * gamma + beta
    bent = np.where(value < 0, parts["two"].array("slope") * value, value).clip(-1.0, 1.5)
    for name, values in (("one", value), ("two", bent)):
        threshold = threshold_below(wanted, (name, "below"), "reader", parts)
        assert np.array_equal(x >= threshold, values >= wanted)


def test_falling_channels_are_named() -> None:
    parts = operations(2)
    parts["one"].tensors["gamma"][3] = -1
    with pytest.raises(UnsupportedOperatorError, match="'one' has channels that fall"):
        threshold_below(np.zeros(CHANNELS), ("two", "below"), "reader", parts)
