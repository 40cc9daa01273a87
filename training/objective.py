"""What a training step minimises: the task, the full-precision twin's answers, and loss (1)."""

import torch.nn.functional as functional
from torch import Tensor

from bitat_deploy.training.bitat.importance import relative_output_error
from bitat_deploy.training.networks import BinaryLayer
from bitat_deploy.training.recipe import DistillationRecipe


def task_loss(
    logits: Tensor, labels: Tensor, teacher: Tensor | None, recipe: DistillationRecipe
) -> Tensor:
    """Cross-entropy to ``labels`` [N], mixed with distillation from ``teacher``.

    ``logits`` and ``teacher`` (the twin's logits) [N, classes].
    Distillation as in Hinton et al., arXiv 1503.02531, section 2: both softened by the
    temperature, and multiplied by its square so that gradients keep their size.
    """
    hard = functional.cross_entropy(logits, labels)
    if teacher is None or recipe.weight == 0:
        return hard
    soft = functional.kl_div(
        (logits / recipe.temperature).log_softmax(dim=1),
        (teacher / recipe.temperature).log_softmax(dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - recipe.weight) * hard + recipe.weight * recipe.temperature**2 * soft


def importance_loss(layer: BinaryLayer, second_moment: Tensor, weight: float) -> Tensor:
    """lambda * loss (1), relative to the output's energy [R]."""
    return weight * relative_output_error(layer, second_moment)
