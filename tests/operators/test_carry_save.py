"""Carry-save addition, with Python's integers as words."""

import pytest

from bitat_deploy.operators.carry_save import add_words


def add(a: int, b: int, c: int) -> tuple[int, int]:
    return a ^ b ^ c, (a & b) | (a & c) | (b & c)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 16, 31, 63])
def test_levels_keep_the_sum_of_every_bit(count: int) -> None:
    words = [(0x9E3779B97F4A7C15 * (i + 1)) & 0xFFFFFFFF for i in range(count)]
    levels = add_words(words, add)
    assert all(len(pending) <= 2 for pending in levels)
    for bit in range(32):
        expected = sum(word >> bit & 1 for word in words)
        counted = sum(
            (word >> bit & 1) << level for level, pending in enumerate(levels) for word in pending
        )
        assert counted == expected
