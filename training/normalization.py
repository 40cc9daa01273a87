"""Batch normalisations: their running statistics set anew, and the affine map that they are."""

from collections.abc import Collection, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def reestimate_normalization(
    network: nn.Module, frozen: Collection[nn.Module], images: Iterable[Tensor]
) -> None:
    """Set the running statistics to the plain average over ``images``, [N, C, H, W] in [0, 1].

    Of all normalisations that have some, but those in ``frozen``. Give images as training sees
    them, augmented: with the statistics of others the network computes what it was not trained
    for. Leaves the network in evaluation mode.
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


def affine_of(
    normalization: nn.BatchNorm2d,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """gamma, beta, mean and deviation of each channel, float64 [channels], in evaluation mode."""
    assert normalization.running_mean is not None and normalization.running_var is not None
    gamma, beta, mean, variance = (
        tensor.detach().cpu().double().numpy()
        for tensor in (
            normalization.weight,
            normalization.bias,
            normalization.running_mean,
            normalization.running_var,
        )
    )
    return gamma, beta, mean, np.sqrt(variance + normalization.eps)
