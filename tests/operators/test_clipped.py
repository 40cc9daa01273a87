"""Clips made tight leave nothing to saturate, and change no result."""

from dataclasses import replace

import numpy as np
import pytest

from bitat_deploy.network import SATURATION
from bitat_deploy.network.evaluate import apply_output_stage
from bitat_deploy.operators.clipped import without_saturation
from tests.drawn_networks import Draw

LARGEST = 10**8


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_results_stay_and_are_within_the_type(dtype: str) -> None:
    tight = 0
    for seed in range(60):
        draw, spread = Draw(seed), (3, 100, 10**4, 10**6)[seed % 4]
        stage = draw.clipped(7, spread, dtype)
        new = without_saturation(stage, LARGEST)
        if new is None:
            continue
        tight += 1
        sums = draw.random.integers(-9 * spread, 9 * spread, (1, 30, 30, 7))
        assert stage.clip is not None and new.clip is not None
        first = -stage.clip.offset.astype(np.int64)
        for near in (-1, 0, 1):
            sums[0, 0, near] = first + near
            sums[0, 1, near] = first + stage.clip.reach + near
        assert np.array_equal(apply_output_stage(new, sums), apply_output_stage(stage, sums))
        clipped = np.clip(sums + new.clip.offset, 0, new.clip.reach)
        results = (clipped * new.multiplier.astype(np.int64) + new.bias) >> new.shift
        low, high = SATURATION[dtype]
        assert low <= results.min() and results.max() <= high
    assert tight > 20


def test_steep_slopes_and_wide_sums_have_none() -> None:
    """Of 0, 2, 4, ... the last one below 255 is 254, but saturated it is 255."""
    stage = Draw(1).clipped(3, 10**4, "uint8")
    assert stage.clip is not None
    ones = np.ones(3, np.int32)
    steep = replace(stage, multiplier=2 * ones, bias=0 * ones, shift=0)
    steep = replace(steep, clip=replace(stage.clip, reach=200 * ones))
    assert without_saturation(steep, LARGEST) is None
    even = replace(steep, multiplier=ones, clip=replace(stage.clip, reach=300 * ones))
    assert without_saturation(even, LARGEST) is not None
    assert without_saturation(even, 2**31 - 1) is None
    assert without_saturation(replace(even, clip=None), LARGEST) is None
