"""1x1 convolutions counted in our own order of instructions, as ARM code."""

from dataclasses import replace
from pathlib import Path

from bitat_deploy.operators import PointwiseSchedule
from bitat_deploy.operators.ordered_counts import has_registers
from bitat_deploy.operators.pointwise_schedule import schedule_space
from bitat_deploy.target import load_target
from tests.operators.pointwise_on_arm import check_on_arm

ORDERED = PointwiseSchedule(8, 16, 4, 4, 1, hand_ordered=True)

# pixels, channels, out channels, tile. 31 words fill a byte; 24 are added to the upper byte.
CASES = [
    (4, 64, 64, (4, 4)),
    (5, 8, 33, (3, 4)),
    (1, 24, 17, (4, 4)),
    (3, 248, 8, (4, 2)),
    (6, 249, 100, (4, 3)),
    (2, 384, 16, (2, 4)),
    (9, 440, 130, (5, 3)),
    (4, 1024, 64, (4, 4)),
    (4, 4064, 48, (4, 4)),
]


def test_they_equal_the_reference(tmp_path: Path) -> None:
    cases = [
        (*shape, replace(ORDERED, pixels=pixels, channel_vectors=vectors))
        for *shape, (pixels, vectors) in CASES
    ]
    check_on_arm(cases, "rpi3", tmp_path)


def test_in_order_processors_have_them_by_default() -> None:
    ordered = {
        name: PointwiseSchedule.default(load_target(name), 196, 512, 512).hand_ordered
        for name in ("rpi3", "cortex-a55", "rpi4", "rpi-32bit", "x86-64-avx2")
    }
    assert [name for name, is_so in ordered.items() if is_so] == ["rpi3", "cortex-a55"]
    narrow = PointwiseSchedule.default(load_target("rpi3"), 196, 32, 512)
    assert not narrow.hand_ordered


def test_tiles_fit_in_the_registers() -> None:
    assert has_registers(4, 4) and not has_registers(5, 4)
    ordered = [
        one for one in schedule_space(load_target("rpi3"), 196, 512, 512) if one.hand_ordered
    ]
    assert ordered and all(has_registers(one.pixels, one.channel_vectors) for one in ordered)
