"""Which tensors the kernels can take as one run of memory."""

import torch
from torch import Tensor


def dense_layout(values: Tensor) -> torch.memory_format | None:
    """The dense layout of ``values``, whose outermost dimension is the first in both; else None."""
    if values.is_contiguous():
        return torch.contiguous_format
    if values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return None
