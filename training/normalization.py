"""The running statistics of batch normalisations, set anew from images."""

from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn


def reestimate_normalization(
    network: nn.Module, frozen: Collection[nn.Module], images: Iterable[Tensor]
) -> None:
    """Set the running statistics to the plain average over ``images``, [N, C, H, W] in [0, 1].

    Of all normalisations that have some, but those in ``frozen``. Leaves the network in
    evaluation mode.
    """
    normalizations = [
        module
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d)
        and module.track_running_stats
        and module not in frozen
    ]
    momenta = [module.momentum for module in normalizations]
    network.eval()
    for module in normalizations:
        module.reset_running_stats()
        module.momentum = None  # the plain average over all batches
        module.train()
    with torch.no_grad():
        for batch in images:
            network(batch)
    for module, momentum in zip(normalizations, momenta, strict=True):
        module.momentum = momentum
    network.eval()
