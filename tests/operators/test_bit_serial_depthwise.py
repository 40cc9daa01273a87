"""Bit-sliced depthwise convolutions equal the network's definition, for each kind of processor."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bitat_deploy.network import Codes, Convolution, OutputStage, Sums, pack_codes
from bitat_deploy.operators.bit_serial_depthwise import BitSerialDepthwiseConv
from bitat_deploy.target import Target, load_target
from tests.drawn_networks import Draw
from tests.operators.execution import Inputs, run_here, run_in_qemu

TOP, ZERO = True, False  # what the border holds
SIGNED, UNSIGNED = True, False

# height, width, channels; kernel, stride, padding, its level, dilation; bits of weights and codes,
# whether these are signed; output: bits of codes, "sums", or channels of the shortcut and RPReLU.
SHAPES: list[Any] = [
    ((1, 1, 1), (1, 1, 0, ZERO, 1), (1, 1, SIGNED), 1),
    ((5, 7, 3), (3, 1, 1, TOP, 1), (1, 1, SIGNED), 1),
    ((5, 7, 17), (3, 2, 1, ZERO, 1), (1, 1, SIGNED), 1),
    ((6, 7, 130), (3, 2, 1, ZERO, 1), (1, 1, SIGNED), (130, True)),
    ((6, 7, 130), (3, 1, 2, TOP, 2), (1, 1, UNSIGNED), (65, False)),
    ((6, 7, 40), (3, 1, 2, ZERO, 2), (2, 2, UNSIGNED), 2),
    ((6, 7, 40), (3, 3, 1, ZERO, 1), (1, 2, SIGNED), 4),
    ((5, 5, 512), (3, 1, 1, TOP, 1), (2, 2, SIGNED), 3),
    ((5, 6, 33), (5, 2, 2, ZERO, 1), (3, 2, SIGNED), "sums"),
    ((5, 6, 70), (3, 1, 1, ZERO, 1), (4, 4, SIGNED), 4),
    ((5, 6, 70), (3, 1, 1, ZERO, 1), (4, 4, UNSIGNED), (0, True)),
]


def drawn_depthwise(target: Target, seed: int, shape: Any) -> BitSerialDepthwiseConv:
    """One of SHAPES with drawn weights and constants of its output stage."""
    draw = Draw(seed)
    (height, width, channels), window, bits, wanted = shape
    kernel, stride, padding, padded_with_top, dilation = window
    weight_bits, code_bits, signed = bits
    codes = Codes((height, width, channels), code_bits, signed)
    largest = (2**weight_bits - 1) * codes.top
    output: OutputStage = Sums()
    shortcut = 0
    if isinstance(wanted, int):
        output = draw.quantize(channels, wanted, SIGNED, largest * kernel)
    elif wanted != "sums":
        shortcut, activation = wanted
        name = "shortcut" if shortcut else None
        output = draw.requantize(channels, kernel**2 * largest, name, activation)
    layer = Convolution(
        name="depthwise",
        input="codes",
        weight=draw.levels((channels, kernel, kernel, 1), weight_bits),
        weight_bits=weight_bits,
        output=output,
        stride=stride,
        padding=padding,
        padding_level=codes.top if padded_with_top else 0,
        dilation=dilation,
        groups=channels,
    )
    return BitSerialDepthwiseConv(codes, layer, shortcut, target)


def drawn_inputs(operator: BitSerialDepthwiseConv, random: np.random.Generator) -> Inputs:
    """Codes and, if wanted, the shortcut's stream."""
    source = operator.source
    assert isinstance(source, Codes)
    codes = random.integers(0, 2**source.bits, (1, *source.shape))
    streams = [random.integers(-(2**15), 2**15, spec.shape) for spec in operator.inputs[1:]]
    return (pack_codes(codes, source.bits), *(stream.astype(np.int16) for stream in streams))


@pytest.mark.parametrize("processor", ["here", "avx2", "cortex-a72"])
def test_equals_the_definition(processor: str, tmp_path: Path) -> None:
    target = load_target("rpi4" if processor == "cortex-a72" else "host")
    if processor == "avx2":
        target = replace(target, cpu="haswell", features=(), vector_bytes=32)
    if processor == "cortex-a72" and shutil.which("qemu-aarch64") is None:
        pytest.skip("needs qemu-aarch64 (Debian's qemu-user)")
    operators = [drawn_depthwise(target, seed, shape) for seed, shape in enumerate(SHAPES)]
    random = np.random.default_rng(0)
    inputs = [drawn_inputs(operator, random) for operator in operators]
    outputs: list[NDArray[Any]]
    if processor == "cortex-a72":
        outputs = run_in_qemu(operators, inputs, target, tmp_path)
    else:
        outputs = run_here(operators, inputs, target)
    for operator, xs, output in zip(operators, inputs, outputs, strict=True):
        expected = operator.reference(*xs)
        assert (expected.shape, expected.dtype) == (operator.output.shape, operator.output.dtype)
        assert np.array_equal(output, expected), operator.workload


def test_a_code_that_never_changes() -> None:
    """Thresholds beyond every sum, and below: the extremes of int32."""
    target = load_target("host")
    drawn = drawn_depthwise(target, 0, ((3, 4, 20), (3, 1, 1, ZERO, 1), (2, 2, SIGNED), 2))
    thresholds = np.full((3, 20), np.iinfo(np.int32).max, np.int32)
    thresholds[:, ::2] = np.iinfo(np.int32).min
    output = replace(drawn.layer.output, thresholds=thresholds)  # type: ignore[type-var]
    operator = replace(drawn, layer=replace(drawn.layer, output=output))
    inputs = drawn_inputs(operator, np.random.default_rng(0))
    (found,) = run_here([operator], [inputs], target)
    assert np.array_equal(found, operator.reference(*inputs))
    assert np.array_equal(found, pack_codes(np.tile([3, 0], (1, 3, 4, 10)), 2))
