"""The levels of UniQ's quantizers: which exist, which one a value takes, and the first steps.

With b bits there are 2^b levels, numbered by codes 0 to M = 2^b - 1. *Symmetric* levels
(weights, signed activations) are (code - M/2) step and have no zero; *unsigned* ones (activations
after ReLU) are code * step. A value half-way between two levels takes the upper one [R], so that
one bit is the comparison that the device makes: value >= 0, and value >= step / 2. Symmetric levels
of 8 bits are -127 to 127 times step, with a zero, and M is 254 [R]: these are int8.
"""

import torch
from torch import Tensor

from bitat_deploy.training.native import Levels

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


def symmetric_levels(bits: int) -> Levels:
    """(code - M/2) step [P]: r(clip(v / step + M/2, 0, M)).

    M is odd, so rounding v / step + M/2 is the floor of v / step, moved by a whole number: exact at
    0, where adding M/2 first would not be [D]. Of 8 bits they begin half-way between themselves.
    """
    if bits == MAXIMUM_BITS:
        return Levels(before=0.5, after=127, top=254, centre=127)
    top = maximum_code(bits)
    return Levels(before=0, after=2 ** (bits - 1), top=top, centre=top / 2)


def unsigned_levels(bits: int) -> Levels:
    """Code * step [P]: r(clip(v / step, 0, M))."""
    return Levels(before=0.5, after=0, top=maximum_code(bits), centre=0)


def codes_of(values: Tensor, step: Tensor, levels: Levels) -> Tensor:
    """Codes 0..M, in the type of ``step``, which has the values' shape or broadcasts to it."""
    codes = torch.floor((values.to(step.dtype) / step).add_(levels.before))
    return codes.add_(levels.after).clamp_(0, levels.top)
