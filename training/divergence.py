"""Finding out that a training has diverged, and where."""

import torch
from torch import nn

from bitat_deploy.training.errors import TrainingDivergedError


def check_parameters(network: nn.Module, where: str) -> None:
    """Raise TrainingDivergedError naming the first parameter that is not finite.

    The loss alone does not tell: a sign turns NaN into -1, and the loss stays finite.
    """
    for name, parameter in network.named_parameters():
        if not torch.isfinite(parameter.detach()).all():
            raise TrainingDivergedError(
                f"training diverged in {where}: '{name}' is not finite any more; {_REMEDY}"
            )


def raise_for_loss(loss: float, network: nn.Module, where: str) -> None:
    """Raise TrainingDivergedError for a loss that is not finite; names the layer if it can."""
    check_parameters(network, where)
    raise TrainingDivergedError(f"training diverged in {where}: the loss became {loss}; {_REMEDY}")


_REMEDY = "lower the stage's learning_rate and start again in a new folder"
