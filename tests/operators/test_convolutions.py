"""General convolutions: what windows read, and thresholds that no sum or every sum reaches."""

from dataclasses import replace

import numpy as np

from bitat_deploy.network import pack_codes
from bitat_deploy.operators.convolution import ConvolutionOperator, PaddedCopy
from bitat_deploy.target import load_target
from tests.drawn_networks import Draw
from tests.operators.drawn_layers import (
    SIGNED,
    ZERO,
    Drawn,
    depthwise,
    drawn_inputs,
    drawn_operators,
)
from tests.operators.execution import run_here


def test_windows_end_within_the_padded_copy() -> None:
    """And not beyond its memory, where what they read might be right by chance."""
    operators = drawn_operators(load_target("host"), seed=1)
    for operator in (one for one in operators if isinstance(one, ConvolutionOperator)):
        layer, copy = operator.layer, PaddedCopy(operator, planes=1, pixel=1, dtype="uint8")
        last = [
            (count - 1) * layer.stride + (kernel - 1) * layer.dilation
            for count, kernel in zip(operator.out_size, layer.kernels, strict=True)
        ]
        assert last[0] < copy.rows <= last[0] + layer.stride
        assert last[1] < copy.columns <= last[1] + layer.stride


def test_a_code_that_never_changes() -> None:
    """Thresholds beyond every sum, and below: the extremes of int32."""
    target = load_target("host")
    drawn = depthwise(Draw(0), ((3, 4, 20), (3, 1, 1, ZERO, 1), (2, 2, SIGNED), 2))
    thresholds = np.full((3, 20), np.iinfo(np.int32).max, np.int32)
    thresholds[:, ::2] = np.iinfo(np.int32).min
    output = replace(drawn.layer.output, thresholds=thresholds)
    operator = Drawn(replace(drawn.layer, output=output), drawn.formats).operator(target)
    inputs = drawn_inputs(operator, np.random.default_rng(0))
    (found,) = run_here([operator], [inputs], target)
    assert np.array_equal(found, operator.reference(*inputs))
    assert np.array_equal(found, pack_codes(np.tile([3, 0], (1, 3, 4, 10)), 2))
