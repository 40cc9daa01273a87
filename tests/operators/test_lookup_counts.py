"""Convolutions by look-up, as ARM code, against the plain reference."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bitat_deploy.operators import LookupSchedule
from bitat_deploy.operators.lookup_counts import LookupCounts
from bitat_deploy.target import load_target
from tests.drawn_networks import Draw
from tests.operators.drawn_layers import (
    ONE,
    SIGNED,
    SUMS,
    TOP,
    UNSIGNED,
    ZERO,
    convolution,
)
from tests.operators.execution import check

# Words that are whole or not, spans that are alike and loop; channels that fill no byte, no vector,
# and several tiles.
CASES: list[tuple[Any, LookupSchedule]] = [
    (((1, 1, 1, 1, 1), ONE, (1, 1, UNSIGNED), 1), LookupSchedule(4, 1, 1)),
    (((3, 2, 1, 70, 40), ONE, (1, 1, SIGNED), 1), LookupSchedule(5, 2, 2)),
    (((2, 5, 1, 200, 130), ONE, (1, 2, UNSIGNED), 2), LookupSchedule(6, 4, 1)),
    (((2, 3, 1, 320, 96), ONE, (1, 2, SIGNED), 3), LookupSchedule(4, 2, 3)),
    (((4, 3, 1, 128, 70), (3, 1, 1, TOP, 1), (1, 1, SIGNED), 1), LookupSchedule(4, 2, 2)),
    (((5, 4, 1, 20, 48), (3, 2, 1, ZERO, 1), (1, 1, SIGNED), 1), LookupSchedule(3, 1, 1)),
    # Several runs in a span, whose words are not full.
    (((4, 5, 1, 16, 32), (3, 1, 1, TOP, 1), (1, 2, SIGNED), 1), LookupSchedule(4, 1, 2)),
    (((3, 4, 1, 72, 64), (3, 1, 1, ZERO, 1), (1, 1, UNSIGNED), 1), LookupSchedule(5, 2, 3)),
    (((5, 6, 1, 64, 33), (3, 1, 2, ZERO, 2), (1, 1, SIGNED), SUMS), LookupSchedule(7, 2, 1)),
    (((3, 3, 1, 256, 192), (3, 1, 1, TOP, 1), (1, 1, UNSIGNED), 1), LookupSchedule(4, 4, 3)),
    (
        ((6, 4, 1, 36, 72), ((1, 3), 1, 0, ZERO, 1), (1, 1, SIGNED), (1, True)),
        LookupSchedule(5, 2, 1),
    ),
]


def test_equals_the_reference(tmp_path: Path) -> None:
    target = replace(load_target("rpi4"), cores=1)
    operators = [
        convolution(Draw(number), shape).operator(target, schedule)
        for number, (shape, schedule) in enumerate(CASES)
    ]
    check(operators, target, tmp_path)


def test_threads_share_tiles_or_rows(tmp_path: Path) -> None:
    target = load_target("rpi4")
    schedule = LookupSchedule(4, 1, 2)
    shape = ((5, 3, 1, 128, 150), (3, 1, 1, TOP, 1), (1, 1, SIGNED), 1)
    operators = [
        convolution(Draw(3), shape).operator(replace(target, cores=cores), schedule)
        for cores in (2, 8)
    ]
    assert all("T.parallel" in str(operator.prim_func()) for operator in operators)
    check(operators, target, tmp_path)


def test_what_is_offered_fits_into_the_cache() -> None:
    target = load_target("rpi4")
    shape = ((14, 14, 1, 256, 256), (3, 1, 1, TOP, 1), (1, 1, SIGNED), 1)
    space = convolution(Draw(1), shape).operator(target).space()
    offered = [one for one in space if isinstance(one, LookupSchedule)]
    assert LookupSchedule(4, 2, 3) in offered
    assert all(one.table_bytes <= target.l1d_kib * 1024 for one in offered)
    for name in ("rpi3", "rpi4", "rpi5"):
        operator = convolution(Draw(1), shape).operator(load_target(name))
        assert isinstance(operator.default_schedule, LookupSchedule)
    small = convolution(Draw(1), ((2, 2, 1, 256, 256), *shape[1:])).operator(target)
    assert not isinstance(small.default_schedule, LookupSchedule)
    few = LookupCounts(target, LookupSchedule(4, 2, 3), 3, 96, 1, 40)
    assert few.weights(np.ones((40, 3, 768), np.uint8)).size == 64 * 3 * 96
