"""Every operator, compiled for each kind of processor, equals its plain numpy reference."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.operators import OPERATORS, Operator
from bitat_deploy.target import load_target
from tests.drawn_networks import Draw
from tests.operators.drawn_layers import (
    ONE,
    SIGNED,
    SUMS,
    drawn_inputs,
    drawn_operators,
    eight_bits,
)
from tests.operators.execution import check


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.__name__)
def test_this_machine(kind: type[Operator]) -> None:
    target = load_target("host")
    check([one for one in drawn_operators(target, seed=1) if type(one) is kind], target)


def test_every_operator_is_tried() -> None:
    """Where this fails for a new operator, drawn_layers.py lacks a layer that it is taken for."""
    targets = [load_target(name) for name in ("host", "rpi4")]
    tried = {type(one) for target in targets for one in drawn_operators(target, seed=1)}
    assert tried == set(OPERATORS)


def test_workloads_name_all_but_the_weights() -> None:
    """A tuned schedule is found by them: alike for other weights, different for other shapes."""
    workloads, others = (
        [re.sub(r"(requantize|rprelu):\d+", "", operator.workload) for operator in operators]
        for operators in (drawn_operators(load_target("host"), seed) for seed in (1, 2))
    )
    assert workloads == others
    assert len(set(workloads)) == len(workloads)


def test_avx2() -> None:
    target = load_target("host")
    if target.architecture != "x86_64" or target.vector_bytes < 64:
        pytest.skip("this machine's own target is the same")
    target = replace(target, cpu="haswell", features=(), vector_bytes=32)
    check(drawn_operators(target, seed=2), target)


@pytest.mark.parametrize(
    ("name", "feature", "flag"),
    [("x86-64-avx2", "+avxvnni", "avx_vnni"), ("x86-64-avx512", "", "avx512bw")],
)
def test_other_products_of_bytes(name: str, feature: str, flag: str) -> None:
    """AVX-VNNI, and AVX-512 without VNNI, where this machine has them."""
    if flag not in Path("/proc/cpuinfo").read_text().split():
        pytest.skip(f"this machine has no {flag}")
    target = replace(load_target(name), features=(feature,) if feature else ())
    operators = [one for one in drawn_operators(target, seed=4) if one.kind == "quantized_conv"]
    check(operators[::3], target)  # as other tests have the rest of the code


def test_the_largest_products_of_codes_fit_in_int16() -> None:
    target = load_target("x86-64-avx2")
    shape = ((1, 3, 1, 70, 9), ONE, (4, SIGNED), SUMS)
    operator = eight_bits(Draw(1), shape).operator(target)
    operator.layer.weight[:] = -128
    inputs = [tuple(np.full_like(x, 255) for x in drawn_inputs(operator, Draw(1).random))]
    check([operator], target, inputs=inputs)


@pytest.mark.parametrize("name", ["rpi4", "rpi5"])
def test_aarch64(name: str, tmp_path: Path) -> None:
    """Without and with dot products."""
    target = load_target(name)
    operators = drawn_operators(target, seed=3)
    if name == "rpi5":
        kinds = ("quantized_conv", "quantized_dense", "eight_bit_depthwise")
        operators = [one for one in operators if one.kind in kinds]
    check(operators, target, tmp_path)
