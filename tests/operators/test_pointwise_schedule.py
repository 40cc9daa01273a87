"""Schedules of the binary 1x1 convolution: what is chosen, and what is worth trying."""

import pytest

from bitat_deploy.operators import PointwiseSchedule
from bitat_deploy.operators.pointwise_schedule import schedule_space
from bitat_deploy.target import load_target


@pytest.mark.parametrize(
    ("name", "table_bytes"),
    [("x86-64-avx512", 64), ("x86-64-avx2", 0), ("rpi4", 16), ("rpi3", 0), ("rpi-32bit", 0)],
)
def test_tables_where_they_are_faster_than_counting(name: str, table_bytes: int) -> None:
    target = load_target(name)
    assert PointwiseSchedule.default(target, 100, 512, 512).table_bytes == table_bytes
    assert PointwiseSchedule.default(target, 4, 512, 512).table_bytes == 0  # too few pixels


@pytest.mark.parametrize("name", ["x86-64-avx512", "x86-64-avx2", "rpi4", "rpi3", "rpi-32bit"])
@pytest.mark.parametrize("channels", [16, 300, 1024])
def test_what_is_worth_trying_differs_and_fits(name: str, channels: int) -> None:
    target = load_target(name)
    space = schedule_space(target, 196, channels, 512)
    assert len(set(space)) == len(space)
    with_tables = [one for one in space if one.table_bytes]
    assert {one.table_bytes for one in with_tables} <= {8, 16, 32, 64}
    for one in with_tables:
        assert one.table_words == 1 or 64 * one.table_words <= channels
        # Tables for 21 groups of inputs in a word, of 16 entries each.
        tables = 21 * 16 * one.table_bytes * one.table_words
        assert one.table_words == 1 or tables < target.l1d_kib * 1024
