"""Quantization to equally spaced levels as one native operation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bitat_deploy.training.native.layout import dense_layout
from bitat_deploy.training.native.library import kernels, kernels_for, pointer


@dataclass(frozen=True)
class Levels:
    """The levels (code - centre) step, with code = clip(floor(v / step + before) + after, 0, top).

    Gradients pass between the lowest and the highest.
    """

    before: float
    after: float
    top: float
    centre: float


def fits_kernels(values: Tensor, step: Tensor) -> bool:
    """Whether the kernels take float32 ``values`` and ``step``, [] or [rows, 1, ...]."""
    some, precise = values.numel() > 0, step.dtype == torch.float32
    rows = step.numel() == 1 or step.shape == (len(values), *[1] * (values.dim() - 1))
    dense = dense_layout(values) is not None
    return some and precise and rows and dense and kernels_for(values) is not None


def quantize_levels(values: Tensor, step: Tensor, levels: Levels) -> Tensor:
    """``values`` on their levels, in the same shape and layout."""
    library = kernels()
    assert library is not None
    result = torch.empty_like(values)
    steps = step.reshape(-1).contiguous()
    library.quantize_levels(
        pointer(values),
        len(steps),
        values.numel() // len(steps),
        pointer(steps),
        *(levels.before, levels.after, levels.top, levels.centre),
        pointer(result),
    )
    return result


def level_gradients(
    gradient: Tensor, values: Tensor, result: Tensor, step: Tensor, levels: Levels
) -> tuple[Tensor, Tensor]:
    """The gradient where values lie within the levels, else 0, and its sum with the errors.

    That sum, of gradient * (result - values where the gradient passes), has ``step``'s shape.
    """
    library = kernels()
    layout = dense_layout(values)
    assert library is not None and layout is not None
    gradient = gradient.contiguous(memory_format=layout)
    passed = torch.empty_like(values)
    steps = step.reshape(-1).contiguous()
    sums = torch.empty(len(steps), dtype=torch.float64)
    library.quantize_levels_backward(
        *(pointer(gradient), pointer(values), pointer(result)),
        len(steps),
        values.numel() // len(steps),
        pointer(steps),
        *(-levels.centre, levels.top - levels.centre),
        pointer(passed),
        pointer(sums),
    )
    return passed, sums.to(step.dtype).reshape(step.shape)
