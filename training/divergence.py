"""Detects that training has diverged, and where."""

import torch
from torch import Tensor, nn

from bitat_deploy.training.errors import TrainingDivergedError


def check_parameters(network: nn.Module, where: str) -> None:
    """Raise TrainingDivergedError naming the first parameter that is not finite.

    The loss alone is not enough: a sign turns NaN into -1, and the loss stays finite.
    """
    for name, parameter in network.named_parameters():
        if not torch.isfinite(parameter.detach()).all():
            raise TrainingDivergedError(
                f"training diverged in {where}: '{name}' is no longer finite; {_REMEDY}"
            )


def raise_for_loss(
    loss: float, network: nn.Module, where: str, images: Tensor | None = None
) -> None:
    """Raise TrainingDivergedError for a loss that is not finite, naming the layer if possible.

    That is the first layer whose outputs for ``images``, inputs of ``network``, are not finite.
    """
    check_parameters(network, where)
    layer = None if images is None else first_overflow(network, images)
    place = f", first in the outputs of '{layer}'" if layer else ""
    raise TrainingDivergedError(
        f"training diverged in {where}: the loss became {loss}{place}; {_REMEDY}"
    )


def first_overflow(network: nn.Module, images: Tensor) -> str | None:
    """Name of the first module with an output that is not finite, None if there is none."""
    found: list[str] = []
    handles = []
    for name, module in network.named_modules():
        if name and not list(module.children()):

            def look(part: nn.Module, inputs: object, output: object, name: str = name) -> None:
                if isinstance(output, Tensor) and not torch.isfinite(output).all():
                    found.append(name)

            handles.append(module.register_forward_hook(look))
    try:
        with torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


_REMEDY = "lower the stage's learning_rate and start again in a new folder"
