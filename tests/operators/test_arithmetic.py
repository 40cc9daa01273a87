"""From how many pairs of bit planes on codes are multiplied as bytes."""

from dataclasses import replace

import pytest

from bitat_deploy.operators.arithmetic import NEVER, bytes_from_pairs
from bitat_deploy.target import load_target, target_names


@pytest.mark.parametrize("name", target_names())
@pytest.mark.parametrize("taps", [1, 9])
def test_every_target_has_an_entry(name: str, taps: int) -> None:
    target = load_target(name)
    assert bytes_from_pairs(target, taps, 8) == NEVER  # unpacking costs more than it gains
    found = [bytes_from_pairs(target, taps, channels) for channels in (64, 100, 256, 4096)]
    assert all(1 < pairs <= NEVER for pairs in found)
    assert found[0] == found[1]  # as for the next lower number of channels


def test_processors_without_an_entry_are_treated_like_similar_ones() -> None:
    other = replace(load_target("rpi4"), cpu="cortex-a35", model_cpu="")
    assert bytes_from_pairs(other, 1, 256) == bytes_from_pairs(load_target("rpi3"), 1, 256)
    other = replace(other, features=("+neon", "+dotprod"))
    assert bytes_from_pairs(other, 1, 256) == bytes_from_pairs(load_target("cortex-a55"), 1, 256)
