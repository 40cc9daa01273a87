"""How large the values of a stream are, watched while a network trains."""

import torch
from torch import Tensor, nn

_IMAGES = 8  # of each batch: enough, for batches are many
_DECAY = 0.98  # what training has left behind is forgotten after a few hundred steps


class StreamRange(nn.Module):
    """``peak``: the largest magnitude of late. Export derives the fixed-point scale from it."""

    peak: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("peak", torch.zeros(()))

    @torch.no_grad()
    def observe(self, values: Tensor) -> None:
        """Look at [N, C, H, W] in training mode; does nothing in evaluation mode."""
        if self.training:
            largest = values[:_IMAGES].abs().amax().to(self.peak.dtype)
            self.peak.copy_(torch.maximum(self.peak * _DECAY, largest))
