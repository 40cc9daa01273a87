"""One stage's optimizer and steps."""

import math
from typing import Any

import torch
from torch import Tensor

from bitat_deploy.training.data import Batch, images_to_tensor
from bitat_deploy.training.distributed import Workers
from bitat_deploy.training.divergence import raise_for_loss
from bitat_deploy.training.networks import QuantizedNetwork
from bitat_deploy.training.objective import task_loss
from bitat_deploy.training.progressive import Progressive
from bitat_deploy.training.recipe import OptimizerRecipe, Recipe
from bitat_deploy.training.schedule import Stage, rate_at


class StageRun:
    """The steps of a stage on a network that is configured for it.

    ``progressive`` where the stage is one of BiTAT's layers; ``teacher`` the teacher's logits
    [N, classes] for the training images.
    """

    def __init__(
        self,
        network: QuantizedNetwork,
        stage: Stage,
        recipe: Recipe,
        steps_per_epoch: int,
        progressive: Progressive | None = None,
        teacher: Tensor | None = None,
        workers: Workers | None = None,
    ) -> None:
        self._network = network
        self._stage = stage
        self._recipe = recipe
        self._steps_per_epoch = steps_per_epoch
        self.steps = round(stage.epochs * steps_per_epoch)
        self._progressive = progressive
        self._teacher = teacher
        self._device = next(network.parameters()).device
        self._workers = workers or Workers()
        self._forward = self._workers.wrapped(network)
        groups = []
        for group in network.parameter_groups(recipe.optimizer.weight_decay):
            trained = [parameter for parameter in group["params"] if parameter.requires_grad]
            if trained:
                groups.append({**group, "params": trained, "factor": 1.0})
        if progressive is not None and recipe.bitat_options.trained_basis:
            basis = progressive.parameters()
            factor = recipe.bitat_options.basis_rate
            if basis:
                groups.append({"params": basis, "weight_decay": 0.0, "factor": factor})
        self.optimizer = make_optimizer(groups, recipe.optimizer, stage.learning_rate)

    def step(self, step: int, batch: Batch) -> float:
        """Train on one batch; the loss before it.

        Raises TrainingDivergedError where that is not finite; nothing is changed then.
        """
        rate = rate_at(
            self._stage, self._recipe.optimizer.schedule, step, self.steps, self._steps_per_epoch
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        images = images_to_tensor(batch.images.to(self._device))
        labels = batch.labels.to(self._device)
        soft = None if self._teacher is None else self._teacher[batch.index].to(self._device)
        kind = self._device.type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=kind == "cuda"):
            logits = self._forward(images)
        loss = task_loss(logits.float(), labels, soft, self._recipe.distillation)
        if self._progressive is not None:
            dependency = self._progressive.loss(step)
            if dependency is not None:
                loss = loss + dependency
        value = self._workers.mean(loss)
        if not math.isfinite(value):
            raise_for_loss(value, self._network, self.where(step), images)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return value

    def where(self, step: int) -> str:
        """A step's place, for messages."""
        return f"stage '{self._stage.name}', step {step} of {self.steps}"


def make_optimizer(
    groups: list[dict[str, Any]], recipe: OptimizerRecipe, learning_rate: float
) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD over parameter groups that have their own weight decay."""
    if recipe.kind == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=recipe.momentum)
    kind = torch.optim.AdamW if recipe.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr=learning_rate)
