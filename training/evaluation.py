"""Evaluation of the floating-point network during training."""

import torch
from torch import Tensor

from bitat_deploy.training.data import ImageSet, images_to_tensor
from bitat_deploy.training.networks import QuantizedNetwork

EVALUATION_BATCH = 500


def network_logits(network: QuantizedNetwork, images: Tensor) -> Tensor:
    """Images uint8 [N, H, W, C] to logits [N, classes]; leaves the network in evaluation mode.

    Computes on the network's device, returns on the CPU.
    """
    network.eval()
    device = next(network.parameters()).device
    with torch.no_grad():
        batches = [
            network(images_to_tensor(batch.to(device))).float().cpu()
            for batch in images.split(EVALUATION_BATCH)
        ]
    return torch.cat(batches)


def network_top1(network: QuantizedNetwork, data: ImageSet) -> float | None:
    """Top-1 accuracy, a fraction of 1; None for no images."""
    if not len(data):
        return None
    hits = network_logits(network, data.images).argmax(dim=1) == data.labels
    return float(hits.to(torch.float64).mean())
