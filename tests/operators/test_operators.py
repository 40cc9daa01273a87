"""Every operator, compiled for each kind of processor, equals its plain numpy reference."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bitat_deploy.network import pack_codes
from bitat_deploy.operators import (
    AveragePoolStream,
    BinaryDepthwiseConv,
    BinaryPointwiseConv,
    DepthwiseSchedule,
    GlobalBitCount,
    GlobalCodeSum,
    GlobalStreamSum,
    MaxPoolCodes,
    Operator,
    PointwiseSchedule,
    QuantizedDense,
    ThresholdPack,
    Unpack,
)
from bitat_deploy.target import Target, load_target
from tests.operators.drawn_operators import SCHEDULES, drawn_inputs, drawn_operators, pointwise
from tests.operators.execution import Inputs, run_here, run_in_qemu

Run = Callable[[Sequence[Operator], Sequence[Inputs]], list[NDArray[Any]]]


KINDS = [
    AveragePoolStream,
    BinaryDepthwiseConv,
    BinaryPointwiseConv,
    GlobalBitCount,
    GlobalCodeSum,
    GlobalStreamSum,
    MaxPoolCodes,
    QuantizedDense,
    ThresholdPack,
    Unpack,
]


def avx2(host: Target) -> Target:
    return replace(host, cpu="haswell", features=(), vector_bytes=32)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_this_machine(kind: type[Operator]) -> None:
    target = load_target("host")
    operators = [one for one in drawn_operators(target, seed=1) if type(one) is kind]
    check(operators, lambda ops, xs: run_here(ops, xs, target))


def test_no_kind_is_left_out() -> None:
    assert {type(one) for one in drawn_operators(load_target("host"), seed=1)} == set(KINDS)


def test_workloads_name_all_but_the_weights() -> None:
    """A tuned schedule is found by them: alike for other weights, different for other shapes."""
    target = load_target("host")
    workloads, others = ([one.workload for one in drawn_operators(target, seed)] for seed in (1, 2))
    assert workloads == others
    assert len(set(workloads)) == len(workloads)


@pytest.mark.parametrize("signed", [False, True])
def test_unpacked_codes_are_the_networks_levels(signed: bool) -> None:
    for bits in range(1, 5):
        codes = np.random.default_rng(0).integers(0, 2**bits, (1, 2, 3, 11))
        operator = Unpack(2, 3, 11, bits, signed, "int8", load_target("host"))
        levels = 2 * codes - (2**bits - 1) if signed else codes
        assert np.array_equal(operator.reference(pack_codes(codes, bits)), levels)


def test_avx2() -> None:
    target = load_target("host")
    if target.architecture != "x86_64" or target.vector_bytes < 64:
        pytest.skip("this machine's own target is the same")
    target = avx2(target)
    check(drawn_operators(target, seed=2), lambda ops, xs: run_here(ops, xs, target))


def test_cortex_a72(tmp_path: Path) -> None:
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("needs qemu-aarch64 (Debian's qemu-user)")
    target = load_target("rpi4")
    check(drawn_operators(target, seed=3), lambda ops, xs: run_in_qemu(ops, xs, target, tmp_path))


def test_pointwise_schedules() -> None:
    """A schedule changes the time, not the result."""
    target = load_target("host")
    random = np.random.default_rng(4)
    operators: list[Operator] = [
        pointwise(random, target, *shape, schedule)
        for schedule in [*SCHEDULES, PointwiseSchedule(32, target.vector_bytes, 2, 1, 5)]
        for shape in [(1, 3, 70, 40), (1, 3, 700, 33), (9, 15, 200, 300), (2, 1, 24, 256)]
    ]
    wide = PointwiseSchedule(32, 64, 1, 1, 31, table_bytes=64, table_words=2)
    operators += [pointwise(random, target, 8, 8, channels, 520, wide) for channels in (64, 330)]
    check(operators, lambda ops, xs: run_here(ops, xs, target))


def test_depthwise_schedules() -> None:
    target = load_target("host")
    random = np.random.default_rng(5)
    operators: list[Operator] = []
    for stride in (1, 2):
        weight = random.integers(0, 2, (3, 3, 200), dtype=np.uint8)
        threshold = random.integers(-5, 6, 200).astype(np.int32)
        operator = BinaryDepthwiseConv(6, 7, weight, threshold, stride, 1, target)
        operators += [operator.with_schedule(DepthwiseSchedule(size)) for size in (16, 32)]
    check(operators, lambda ops, xs: run_here(ops, xs, target))


def test_threads_share_large_layers() -> None:
    target = replace(load_target("host"), cores=3)
    random = np.random.default_rng(6)
    weight = random.integers(0, 2, (3, 3, 120), dtype=np.uint8)
    threshold = random.integers(-5, 6, 120).astype(np.int32)
    operators: list[Operator] = [
        BinaryDepthwiseConv(58, 57, weight, threshold, 1, 1, target),
        pointwise(random, target, 28, 28, 128, 200),
    ]
    assert all("T.parallel" in str(operator.prim_func()) for operator in operators)
    check(operators, lambda ops, xs: run_here(ops, xs, target))
    small = BinaryDepthwiseConv(7, 7, weight, threshold, 1, 1, target)
    assert "T.parallel" not in str(small.prim_func())


def check(operators: list[Operator], run: Run) -> None:
    random = np.random.default_rng(0)
    inputs = [drawn_inputs(operator, random) for operator in operators]
    outputs = run(operators, inputs)
    for operator, xs, output in zip(operators, inputs, outputs, strict=True):
        expected = operator.reference(*xs)
        assert (expected.shape, expected.dtype) == (operator.output.shape, operator.output.dtype)
        assert np.array_equal(output, expected), _describe(operator)


def _describe(operator: Operator) -> str:
    return f"{type(operator).__name__} from {operator.inputs} to {operator.output}"
