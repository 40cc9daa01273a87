"""The range of a stream's values, recorded during training."""

import torch
from torch import Tensor, nn

_IMAGES = 8  # of each batch, which is enough over many batches
_DECAY = 0.98  # early values are forgotten after a few hundred steps


class StreamRange(nn.Module):
    """``peak``: the largest recent magnitude. Export derives the fixed-point scale from it."""

    peak: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("peak", torch.zeros(()))

    @torch.no_grad()
    def observe(self, values: Tensor) -> None:
        """Record [N, C, H, W] in training mode; does nothing in evaluation mode."""
        if self.training:
            largest = values[:_IMAGES].abs().amax().to(self.peak.dtype)
            self.peak.copy_(torch.maximum(self.peak * _DECAY, largest))
