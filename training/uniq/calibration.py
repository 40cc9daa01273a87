"""First steps of a network's activation quantizers, from a few batches."""

from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn

from bitat_deploy.training.uniq.modules import ActivationQuantizer

CALIBRATION_BATCHES = 100  # [P]


@torch.no_grad()
def calibrate(
    network: nn.Module, batches: Iterable[Tensor], count: int = CALIBRATION_BATCHES
) -> None:
    """Set the step of each activation quantizer to the largest that one of the batches asks for.

    ``batches`` are inputs of ``network``, of which the first ``count`` are taken [P]. The network
    runs in evaluation mode with its activations in full precision [R], and is left in the mode it
    was in. Raises ValueError where there is no batch.
    """
    quantizers = [part for part in network.modules() if isinstance(part, ActivationQuantizer)]
    training = {part: part.training for part in network.modules()}
    network.eval()
    for quantizer in quantizers:
        quantizer.begin_calibration()
    seen = 0
    try:
        for batch in islice(batches, count):
            network(batch)
            seen += 1
    finally:
        for quantizer in quantizers:
            quantizer.end_calibration()
        for part, mode in training.items():
            part.training = mode
    if seen == 0:
        raise ValueError("calibration needs a batch of images at least")
