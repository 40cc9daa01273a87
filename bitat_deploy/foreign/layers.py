"""From a convolution that was found to the records of our layers."""

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.foreign.binarized import Binarized, Quantizer
from bitat_deploy.foreign.graph import Graph
from bitat_deploy.foreign.levels import ALWAYS, NEVER, CodeSteps, code_steps_like
from bitat_deploy.foreign.steps import (
    evaluate_steps,
    find_steps,
    float_of_position,
    position_of_float,
)
from bitat_deploy.network import Convolution, Quantize, QuantizeFloat, Sums

_INT32 = np.iinfo(np.int32)


def top_level(codes: CodeSteps) -> int:
    """The highest level of the codes."""
    return 2**codes.bits - 1


def copies_of_codes(found: Binarized) -> int:
    """How many copies of the quantizer's channels the convolution reads."""
    return len(found.quantizer.codes.starts) * len(found.weight.copies)


def sums_layer(found: Binarized, source: str) -> Convolution:
    """The convolution that gives the sums; ``source`` names the codes of :func:`code_channels`.

    Where weights have an offset, each group has one output more, the last: the sum of its inputs.
    """
    weight = found.weight
    codes = len(found.quantizer.codes.starts)
    groups = [copy for copy in weight.copies for _ in range(codes)]
    levels = np.concatenate(groups, axis=1).transpose(0, 2, 3, 1)
    if found.of_inputs is not None:
        by_group = levels.reshape(found.window.groups, -1, *levels.shape[1:])
        ones = np.ones_like(by_group[:, :1])
        levels = np.concatenate([by_group, ones], axis=1).reshape(-1, *levels.shape[1:])
    return Convolution(
        name=found.node.name,
        input=source,
        weight=np.ascontiguousarray(levels).astype(np.int8),
        weight_bits=weight.bits,
        output=Sums(),
        stride=found.window.stride,
        padding=found.window.padding,
        padding_level=found.padding_level,
        dilation=found.window.dilation,
        groups=found.window.groups,
    )


def code_channels(found: Binarized) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Original channel, and copy of the codes, of every channel that the convolution reads.

    Group by group, and there copy by copy of the weights, and of the codes.
    """
    per_group = found.weight.copies[0].shape[1]
    codes = len(found.quantizer.codes.starts)
    channels, copies = [], []
    for group in range(found.window.groups):
        for _ in found.weight.copies:
            for copy in range(codes):
                channels.append(np.arange(per_group) + group * per_group)
                copies.append(np.full(per_group, copy))
    return np.concatenate(channels), np.concatenate(copies)


def float_quantizer(graph: Graph, found: Binarized, name: str) -> QuantizeFloat:
    """The layer that makes the codes from the root of the quantizer's chain."""
    codes = found.quantizer.codes
    channel, copy = code_channels(found)
    starts = np.stack(codes.starts)[copy, channel]
    falling = codes.falling[channel]
    kind = graph.types[found.quantizer.chain.root].shape
    height, width = kind[2:] if len(kind) == 4 else (1, 1)
    thresholds = float_thresholds(starts, falling)
    return QuantizeFloat(
        name=name,
        input=found.quantizer.chain.root,
        input_shape=(kind[1], height, width),
        channel=channel.astype(np.int32),
        sign=np.where(falling, -1, 1).astype(np.float32),
        thresholds=np.ascontiguousarray(thresholds.T),
        signed=codes.signed,
    )


def float_thresholds(starts: NDArray[np.int64], falling: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Positions [channels, steps] as thresholds of x, or of -x where the code falls with x."""
    edge = (starts == NEVER) | (starts == ALWAYS)
    real = float_of_position(np.where(edge, 0, starts))
    real = np.where(falling[:, None], -real, real)
    real = np.where(starts == NEVER, np.float32(np.inf), real)
    return np.where(starts == ALWAYS, np.float32(-np.inf), real).astype(np.float32)


def fused_layer(found: Binarized, quantizer: Quantizer, layer: Convolution) -> Convolution | None:
    """The convolution with the codes of ``quantizer``, which reads its result alone, as output.

    Thresholds of the sums are found by scaling them in float32, as the original does, and looking
    where the quantizer's steps are, as far as bisection needs it. None where the codes are not
    those of ``quantizer``, or need copies, and where the output is no function of one sum.
    """
    if found.of_inputs is not None or found.of_border:
        return None
    if quantizer.codes.scale.size != layer.out_channels:
        return None
    lowest, step, count = _lattice(found, layer)
    none = np.zeros(layer.out_channels, np.float32)
    constant = none if found.constant is None else found.constant

    def of_position(position: NDArray[np.int64]) -> NDArray[np.float64]:
        sums = (lowest[:, None] + step * position).astype(np.float32)
        real = sums * found.scale[:, None] + constant[:, None]
        return evaluate_steps(quantizer.steps, position_of_float(real))

    steps = find_steps(of_position, np.zeros_like(count), count)
    codes = None if steps is None else code_steps_like(steps, quantizer.codes)
    if codes is None:
        return None
    starts, edge = codes.starts[0], np.isin(codes.starts[0], (NEVER, ALWAYS))
    sums = lowest[:, None] + step * np.where(edge, 0, starts)
    sums = np.where(codes.falling[:, None], -sums, sums)
    sums = np.where(starts == NEVER, _INT32.max, sums)
    thresholds = np.where(starts == ALWAYS, _INT32.min, sums).astype(np.int32)
    sign = np.where(codes.falling, -1, 1).astype(np.int8)
    return Convolution(
        name=layer.name,
        input=layer.input,
        weight=layer.weight * sign[:, None, None, None],
        weight_bits=layer.weight_bits,
        output=Quantize(np.ascontiguousarray(thresholds.T), codes.signed),
        stride=layer.stride,
        padding=layer.padding,
        padding_level=layer.padding_level,
        dilation=layer.dilation,
        groups=layer.groups,
    )


def _lattice(
    found: Binarized, layer: Convolution
) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
    """The sums that a channel can have: the lowest, the distance, how many distances there are."""
    codes = found.quantizer.codes
    reach = np.abs(layer.weight.astype(np.int64)).reshape(layer.out_channels, -1).sum(axis=1)
    reach *= top_level(codes)
    copies = copies_of_codes(found)
    if copies > 1:
        reach = -(-reach // copies) * copies
        return -reach, copies, 2 * reach // copies
    border = layer.padding > 0 and layer.padding_level == 0
    step = 2 if codes.signed and not border else 1
    return -reach, step, 2 * reach // step
