"""Blocks are counted as they run; the model ranks what is plainly faster first."""

import shutil

import numpy as np
import pytest

from bitat_deploy.cycle_model.assembly import function_blocks
from bitat_deploy.cycle_model.kernel_cost import kernel_cost, modelled_cycles
from bitat_deploy.cycle_model.scalar_arithmetic import UnknownFlowError
from bitat_deploy.cycle_model.scalar_execution import count_runs
from bitat_deploy.errors import InputError
from bitat_deploy.operators import Operator
from bitat_deploy.target import load_target
from tests.operators.drawn_layers import pointwise

_NESTED = """
kernel:
	sub	sp, sp, #32
	mov	w9, #5
	str	x9, [sp, #8]
	mov	x8, xzr
.LBB0_1:
	add	x11, x0, #96
.LBB0_2:
	ldr	q0, [x0, x8]
	sub	x11, x11, #16
	cmp	x11, x0
	b.hi	.LBB0_2
	tbz	w8, #0, .LBB0_4
	add	v0.16b, v0.16b, v0.16b
.LBB0_4:
	ldr	x10, [sp, #8]
	add	x8, x8, #1
	cmp	x8, x10
	b.ne	.LBB0_1
	ret
.Lfunc_end0:
"""


def test_blocks_are_counted_as_they_run() -> None:
    blocks = function_blocks(_NESTED, "kernel")
    count_runs(blocks, arguments=1)
    assert [block.runs for block in blocks] == [1, 5, 30, 5, 2, 5, 1]


def test_flow_that_depends_on_data_is_refused() -> None:
    blocks = function_blocks(
        _NESTED.replace("ldr	x10, [sp, #8]", "ldr	x10, [x0, #8]"), "kernel"
    )
    with pytest.raises(UnknownFlowError):
        count_runs(blocks, arguments=1)


@pytest.mark.skipif(not shutil.which("llvm-mca"), reason="llvm-mca is not installed")
def test_the_model_sees_work_and_bounds() -> None:
    target = load_target("rpi4")

    def layer(pixels: int) -> Operator:
        drawn = pointwise(np.random.default_rng(0), pixels, 4, 256, 128)
        return drawn.operator(target)

    macs = 8 * 4 * 128 * 256
    assert 20 < macs / modelled_cycles(layer(8), target) < 130
    assert kernel_cost(layer(8), target).cycles > 1.5 * kernel_cost(layer(4), target).cycles


def test_other_processors_are_refused() -> None:
    target = load_target("rpi-32bit")
    operator = pointwise(np.random.default_rng(0), 1, 1, 8, 8).operator(load_target("rpi4"))
    with pytest.raises(InputError, match="no static cycle model"):
        modelled_cycles(operator, target)
