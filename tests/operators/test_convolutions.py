"""General convolutions with every output stage equal the network's definition, compiled."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitat_deploy.operators import BitSerialSchedule
from bitat_deploy.operators.convolution import ConvolutionOperator, PaddedCopy
from bitat_deploy.target import load_target
from tests.drawn_networks import Draw
from tests.operators.drawn_convolutions import (
    BIT_SERIAL,
    PICTURE,
    SIGNED,
    SUMS,
    ZERO,
    bit_serial,
    convolution_inputs,
    drawn_convolutions,
    picture,
)
from tests.operators.execution import run_here, run_in_qemu


@pytest.mark.parametrize("number", range(len(BIT_SERIAL) + len(PICTURE)))
def test_this_machine(number: int) -> None:
    target = load_target("host")
    operators = drawn_convolutions(target, seed=1)[number : number + 1]
    check(operators, lambda ops, xs: run_here(ops, xs, target))


def test_avx2() -> None:
    target = load_target("host")
    if target.architecture != "x86_64" or target.vector_bytes < 64:
        pytest.skip("this machine's own target is the same")
    target = replace(target, cpu="haswell", features=(), vector_bytes=32)
    check(drawn_convolutions(target, seed=2), lambda ops, xs: run_here(ops, xs, target))


@pytest.mark.parametrize("name", ["rpi4", "rpi5"])
def test_aarch64(name: str, tmp_path: Path) -> None:
    """Without and with dot products."""
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("needs qemu-aarch64 (Debian's qemu-user)")
    target = load_target(name)
    operators = drawn_convolutions(target, seed=3)
    if name == "rpi5":
        operators = operators[len(BIT_SERIAL) :]
    else:  # a run of 32 bytes, of which 31 are counted before they are added, two by two
        one = ((3, 3, 1, 128, 20), (2, 1, 0, ZERO, 1), (1, 1, SIGNED), SUMS)
        operators.append(bit_serial(Draw(5), target, one, BitSerialSchedule(8, 1, 1, words=2)))
    check(operators, lambda ops, xs: run_in_qemu(ops, xs, target, tmp_path))


@pytest.mark.parametrize("name", ["host", "rpi4"])
def test_schedules(name: str, tmp_path: Path) -> None:
    """A schedule changes the time, not the result; the workload does not name it."""
    target = load_target(name)
    if name != "host" and shutil.which("qemu-aarch64") is None:
        pytest.skip("needs qemu-aarch64 (Debian's qemu-user)")
    draw = Draw(4)
    operators: list[ConvolutionOperator] = []
    for drawn in (bit_serial(draw, target, BIT_SERIAL[8]), picture(draw, target, PICTURE[2])):
        schedules = drawn.space()
        assert len(set(schedules)) == len(schedules) > 1
        chosen = draw.random.choice(len(schedules), 4, replace=False)
        tuned = [drawn.with_schedule(schedules[index]) for index in chosen]
        assert {operator.workload for operator in tuned} == {drawn.workload}
        operators += tuned  # type: ignore[arg-type]
    if name == "host":
        check(operators, lambda ops, xs: run_here(ops, xs, target))
    else:
        check(operators, lambda ops, xs: run_in_qemu(ops, xs, target, tmp_path))


@pytest.mark.parametrize("number", range(len(BIT_SERIAL) + len(PICTURE)))
def test_windows_end_within_the_padded_copy(number: int) -> None:
    """And not beyond its memory, where what they read might be right by chance."""
    operator = drawn_convolutions(load_target("host"), seed=1)[number]
    layer, copy = operator.layer, PaddedCopy(operator, planes=1, pixel=1, dtype="uint8")
    last = [
        (count - 1) * layer.stride + (layer.kernel - 1) * layer.dilation
        for count in operator.out_size
    ]
    assert last[0] < copy.rows <= last[0] + layer.stride
    assert last[1] < copy.columns <= last[1] + layer.stride


def check(operators: Sequence[ConvolutionOperator], run: Any) -> None:
    random = np.random.default_rng(0)
    inputs = [convolution_inputs(operator, random) for operator in operators]
    for operator, xs, output in zip(operators, inputs, run(operators, inputs), strict=True):
        expected = operator.reference(*xs)
        assert (expected.shape, expected.dtype) == (operator.output.shape, operator.output.dtype)
        assert np.array_equal(output, expected), operator.workload
