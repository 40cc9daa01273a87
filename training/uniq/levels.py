"""The levels of UniQ's quantizers: which exist, which one a value takes, and the first steps.

With b bits there are 2^b levels, numbered by codes 0 to M = 2^b - 1. *Symmetric* levels
(weights, signed activations) are (code - M/2) step and have no zero; *unsigned* ones (activations
after ReLU) are code * step. A value half-way between two levels takes the upper one [R], so that
one bit is the comparison that the device makes: value >= 0, and value >= step / 2. Symmetric levels
of 8 bits are -127 to 127 times step, with a zero, and M is 254 [R]: these are int8.
"""

import torch
from torch import Tensor

MAXIMUM_BITS = 8

# The steps of least mean squared error, by bits [P], [D]; tests/training/test_uniq.py finds them.
# For a normal variable of variance 1, symmetric levels: c_b.
NORMAL_STEPS = {
    1: 1.595769, 2: 0.995687, 3: 0.586019, 4: 0.335201,
    5: 0.188139, 6: 0.104063, 7: 0.056868, 8: 0.030762,
}  # fmt: skip
# For the same after ReLU, unsigned levels: p_b.
RECTIFIED_STEPS = {
    1: 1.223992, 2: 0.650770, 3: 0.353410, 4: 0.193249,
    5: 0.105488, 6: 0.057266, 7: 0.030871, 8: 0.016529,
}  # fmt: skip


def check_bits(bits: int) -> None:
    """Raise ValueError where ``bits`` is not 1 to 8."""
    if bits not in NORMAL_STEPS:
        raise ValueError(f"UniQ quantizes to 1 to {MAXIMUM_BITS} bits, not {bits}")


def maximum_code(bits: int) -> int:
    """M, the highest code."""
    return 2**bits - 1


def symmetric_rounding(bits: int) -> tuple[float, int, int]:
    """(before, after, M) with code = clip(floor(v / step + before) + after, 0, M).

    Levels without a zero begin at whole multiples of the step, others half-way between them.
    """
    if bits == MAXIMUM_BITS:
        return 0.5, 127, 254
    return 0.0, 2 ** (bits - 1), maximum_code(bits)


def symmetric_codes(values: Tensor, step: Tensor, bits: int) -> Tensor:
    """Codes 0..M of the levels (code - M/2) step, in the type of ``step``.

    [P]: r(clip(v / step + M/2, 0, M)). M is odd, so rounding v / step + M/2 is the floor of
    v / step, moved by a whole number: exact at 0, where adding M/2 first would not be [D].
    ``step`` has the shape of ``values`` or one that broadcasts to it.
    """
    before, after, top = symmetric_rounding(bits)
    codes = torch.floor(values.to(step.dtype) / step + before)
    return codes.add_(after).clamp_(0, top)


def unsigned_codes(values: Tensor, step: Tensor, bits: int) -> Tensor:
    """Codes 0..M of the levels code * step [P]: r(clip(v / step, 0, M)); else as above."""
    codes = torch.floor((values.to(step.dtype) / step).add_(0.5))
    return codes.clamp_(0, maximum_code(bits))
