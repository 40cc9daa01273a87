"""BiTAT's steps around the training of one layer: calibrate before, commit after."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from bitat_deploy.training.bitat.commit import Commit, commit_signs
from bitat_deploy.training.bitat.importance import (
    SecondMoment,
    grouped_weight,
    patches_of,
    ungrouped_weight,
)
from bitat_deploy.training.networks import BinaryLayer, BinaryMobileNet, NormalizedLayer


def calibrate(network: BinaryMobileNet, layer: BinaryLayer, images: Iterable[Tensor]) -> Tensor:
    """H = E[x x^T] of the layer's inputs on the partly quantized network, [groups, d, d] [P].

    ``images`` are batches [N, C, H, W] in [0, 1]. The network's modes are left as they were;
    normalisation runs on its running statistics.
    """
    moment = SecondMoment()

    class _Reached(Exception):  # noqa: N818  (control flow: layers above need not run)
        pass

    def collect(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        moment.add(patches_of(layer, inputs[0]))
        raise _Reached

    modes = {module: module.training for module in network.modules()}
    handle = layer.register_forward_pre_hook(collect)
    network.eval()
    try:
        with torch.no_grad():
            for batch in images:
                try:
                    network(batch)
                except _Reached:
                    continue
    finally:
        handle.remove()
        for module, training in modes.items():
            module.training = training
    return moment.mean().to(torch.float32)


def commit_layer(layer: BinaryLayer, second_moment: Tensor, sweeps: int) -> Commit:
    """Replace the layer's latent weight by alpha * signs, see :func:`commit_signs`."""
    latent = grouped_weight(layer, layer.weight.detach())
    commit = commit_signs(second_moment, latent, sweeps)
    with torch.no_grad():
        layer.weight.copy_(ungrouped_weight(layer, commit.weight()))
    return commit


def reestimate_normalization(
    network: BinaryMobileNet,
    layers: Sequence[NormalizedLayer],
    images: Iterable[Tensor],
) -> None:
    """Set the running statistics of ``layers`` to those of ``images``, [N, C, H, W] in [0, 1].

    ``layers`` are to be the top of the network from some layer on. Leaves the network in
    evaluation mode.
    """
    normalizations = [layer.normalization for layer in layers]
    momenta = [normalization.momentum for normalization in normalizations]
    network.eval()
    for normalization in normalizations:
        normalization.reset_running_stats()
        normalization.momentum = None  # the plain average over all batches
        normalization.train()
    with torch.no_grad():
        for batch in images:
            network(batch)
    for normalization, momentum in zip(normalizations, momenta, strict=True):
        normalization.momentum = momentum
    network.eval()
