"""1x1 convolutions by tables in instructions of our own, as ARM code."""

from pathlib import Path

import pytest

from bitat_deploy.operators import PointwiseSchedule
from bitat_deploy.operators.ordered_tables import WordSums
from bitat_deploy.target import load_target
from tests.operators.pointwise_on_arm import check_on_arm

# pixels, channels, out channels, words of a table. Rests of 1, 2 and 4 bytes are looked up, too.
CASES = [
    (3, 64, 128, 1),
    (5, 7, 128, 1),
    (2, 72, 256, 1),
    (2, 74, 130, 1),
    (3, 144, 128, 2),
    (2, 160, 128, 1),
    (2, 512, 128, 8),
    (1, 1024, 128, 4),
]


@pytest.mark.parametrize("name", ["rpi4", "rpi5"])  # without and with pairs of loads
def test_they_equal_the_reference(name: str, tmp_path: Path) -> None:
    cases = [
        (*shape, PointwiseSchedule(8, 16, 4, 4, 1, table_bytes=16, table_words=words))
        for *shape, words in CASES
    ]
    check_on_arm(cases, name, tmp_path)


def test_registers_are_enough() -> None:
    assert WordSums.is_possible(load_target("rpi4"), 16, 8, 12)
    assert not WordSums.is_possible(load_target("rpi4"), 16, 8, 13)
    assert not WordSums.is_possible(load_target("rpi4"), 16, 3, 10)
    assert not WordSums.is_possible(load_target("rpi4"), 32, 8, 10)
    assert not WordSums.is_possible(load_target("rpi-32bit"), 16, 8, 10)
