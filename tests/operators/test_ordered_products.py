"""8-bit convolutions in our own order of instructions, as ARM code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitat_deploy.operators.ordered_products import OrderedProducts
from bitat_deploy.operators.quantized_conv import OrderedConvSchedule
from bitat_deploy.target import load_target
from tests.drawn_networks import Draw
from tests.operators.drawn_layers import ONE, SIGNED, SUMS, UNSIGNED, ZERO, drawn_inputs, eight_bits
from tests.operators.execution import check

KEEP = (3, 1, 1, ZERO, 1)
# As EIGHT_BITS, and a tile of pixels x vectors: blocks without rest, a rest alone, several runs.
CASES: list[Any] = [
    ((2, 5, 1, 32, 24), ONE, (8, UNSIGNED), "uint8", (4, 2)),
    ((1, 7, 1, 33, 17), ONE, (8, SIGNED), "int8", (4, 1)),
    ((3, 3, 1, 6, 40), ONE, (8, UNSIGNED), SUMS, (3, 2)),
    ((2, 9, 1, 1, 8), ONE, (8, SIGNED), SUMS, (5, 1)),
    ((4, 5, 1, 18, 33), KEEP, (8, UNSIGNED), "uint8", (4, 2)),
    ((5, 9, 2, 7, 16), (3, 2, 1, ZERO, 1), (8, SIGNED), SUMS, (3, 1)),
    ((6, 7, 1, 20, 16), (3, 1, 2, ZERO, 2), (8, UNSIGNED), "int8", (2, 2)),
    ((3, 6, 1, 40, 24), ONE, (4, SIGNED), 2, (4, 1)),
    ((1, 9, 1, 70, 49), ONE, (2, UNSIGNED), SUMS, (3, 3)),
]
DOTS: list[Any] = [
    ((2, 9, 1, 64, 24), ONE, (8, UNSIGNED), "uint8", (8, 1)),
    ((1, 9, 1, 53, 72), ONE, (8, SIGNED), SUMS, (6, 2)),
    ((1, 9, 1, 23, 25), KEEP, (8, UNSIGNED), SUMS, (4, 3)),
    ((1, 3, 1, 2, 9), ONE, (8, SIGNED), SUMS, (1, 1)),
]


@pytest.mark.parametrize(("name", "cases"), [("rpi3", CASES), ("rpi5", [*DOTS, *CASES[4:7]])])
def test_they_equal_the_reference(name: str, cases: list[Any], tmp_path: Path) -> None:
    target, draw = load_target(name), Draw(7)
    operators, inputs = [], []
    for *shape, tile in cases:
        operator = eight_bits(draw, shape).operator(target, OrderedConvSchedule(*tile))
        if len(operators) % 2:
            operator.layer.weight[::2] = -128  # the largest products
        xs = drawn_inputs(operator, draw.random)
        if shape[2][0] == 8:
            xs[0][:, :, ::2] = operator.source.bottom
            xs[0][:, :, 1::4] = operator.source.top
        operators.append(operator)
        inputs.append(xs)
    check(operators, target, tmp_path, inputs)


def test_in_order_processors_have_them_by_default() -> None:
    layer = eight_bits(Draw(1), ((4, 4, 1, 32, 32), ONE, (8, UNSIGNED), "uint8"))
    names = ("rpi3", "cortex-a55", "rpi4", "rpi5", "rpi-32bit", "x86-64-avx2")
    found = {name: layer.operator(load_target(name)).default_schedule for name in names}
    ordered = [name for name, one in found.items() if isinstance(one, OrderedConvSchedule)]
    assert ordered == ["rpi3", "cortex-a55", "rpi5"]


def test_tiles_fit_in_the_registers() -> None:
    assert OrderedProducts(4, 4, 9, values=2, chain=2).fits
    assert not OrderedProducts(5, 4, 9, values=2, chain=2).fits
    assert OrderedProducts(6, 4, 9, values=4, chain=1).fits
    assert not OrderedProducts(7, 4, 9, values=4, chain=1).fits
    assert np.all([not OrderedProducts(p, 2, 9, values=2, chain=1).fits for p in (1, 2)])
