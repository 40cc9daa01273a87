import itertools

import numpy as np
import pytest

from bitat_deploy.compiler.static_module import arena_layout


@pytest.mark.parametrize("seed", range(5))
def test_neighbours_do_not_overlap(seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(1, 2000, seed + 1).tolist()
    total, offsets = arena_layout(sizes)
    spans = [(start, start + size) for start, size in zip(offsets, sizes, strict=True)]
    assert all(start >= 0 and start % 64 == 0 and end <= total for start, end in spans)
    for one, other in itertools.pairwise(spans):
        assert one[1] <= other[0] or other[1] <= one[0]


def test_no_larger_than_two_neighbours() -> None:
    assert arena_layout([64, 640, 128, 64]) == (768, [0, 128, 0, 704])
