import itertools

import numpy as np
import pytest

from bitat_deploy.compiler.static_module import arena_layout


@pytest.mark.parametrize("seed", range(5))
def test_tensors_that_live_together_do_not_overlap(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = 3 * seed + 1
    sizes = random.integers(1, 2000, count).tolist()
    last_uses = [int(random.integers(index, count + 1)) for index in range(count)]
    total, offsets = arena_layout(sizes, last_uses)
    spans = [(start, start + size) for start, size in zip(offsets, sizes, strict=True)]
    assert all(start >= 0 and start % 64 == 0 and end <= total for start, end in spans)
    assert total < sum(sizes) + 64 * count
    for one, other in itertools.combinations(range(count), 2):
        if last_uses[one] >= other:
            assert spans[one][1] <= spans[other][0] or spans[other][1] <= spans[one][0]


@pytest.mark.parametrize("sizes", [(64, 640, 128, 64), (640, 512, 448, 576)])
def test_a_chain_needs_no_more_than_two_neighbours(sizes: tuple[int, ...]) -> None:
    total, _ = arena_layout(sizes, range(1, len(sizes) + 1))
    assert total == max(a + b for a, b in itertools.pairwise(sizes))
