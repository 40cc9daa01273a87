"""What a training step minimises besides BiTAT's loss: the task, and a teacher's answers."""

import torch.nn.functional as functional
from torch import Tensor

from bitat_deploy.training.recipe_sections import DistillationRecipe


def task_loss(
    logits: Tensor, labels: Tensor, teacher: Tensor | None, recipe: DistillationRecipe
) -> Tensor:
    """Cross-entropy to ``labels`` [N], mixed with distillation from ``teacher``.

    ``logits`` and ``teacher`` (the teacher's logits) [N, classes].
    Distillation as in Hinton et al., arXiv 1503.02531, section 2: both softened by the
    temperature, and multiplied by its square so that gradients keep their size.
    """
    if teacher is None or recipe.weight == 0:
        return functional.cross_entropy(logits, labels)
    soft = functional.kl_div(
        (logits / recipe.temperature).log_softmax(dim=1),
        (teacher / recipe.temperature).log_softmax(dim=1),
        reduction="batchmean",
        log_target=True,
    )
    soft = recipe.weight * recipe.temperature**2 * soft
    if recipe.weight == 1:
        return soft
    return (1 - recipe.weight) * functional.cross_entropy(logits, labels) + soft
