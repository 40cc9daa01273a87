"""The training loop's inner part: a stage's optimizer and its steps, on any network."""

import math
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from bitat_deploy.training.distributed import Workers
from bitat_deploy.training.divergence import check_parameters, raise_for_loss
from bitat_deploy.training.quantizers import Constrained
from bitat_deploy.training.recipe_sections import DistillationRecipe, OptimizerRecipe
from bitat_deploy.training.stages import Stage
from bitat_deploy.training.stages.stage import Images

BFLOAT16_DEVICES = {"cuda"}  # where the forward pass computes in it; scripts/bench-bf16
_CHECK_STEPS = 100


class StageRun:
    """A stage in work: prepared, or where ``resumed`` only configured, ready for its steps.

    ``images()`` are the calibration batches. ``teacher`` answers each batch, as it is, in
    evaluation mode; it is on the network's device.
    """

    def __init__(
        self,
        stage: Stage,
        images: Images,
        steps_per_epoch: int,
        optimizer: OptimizerRecipe,
        distillation: DistillationRecipe,
        workers: Workers | None = None,
        teacher: nn.Module | None = None,
        resumed: bool = False,
    ) -> None:
        stage.configure()
        if not resumed:
            stage.begin(images)
            stage.configure()
        self.steps = stage.steps(steps_per_epoch)
        self._stage = stage
        self._steps_per_epoch = steps_per_epoch
        self._schedule = optimizer.schedule
        self._smoothing = optimizer.label_smoothing
        self._distillation = distillation
        self._workers = workers or Workers()
        self._teacher = teacher
        self._constrained = [
            module for module in stage.network.modules() if isinstance(module, Constrained)
        ]
        self._forward = self._workers.wrapped(stage.network)
        groups = []
        for group in stage.network.parameter_groups(optimizer.weight_decay):
            trained = [parameter for parameter in group["params"] if parameter.requires_grad]
            if trained:
                groups.append({**group, "params": trained, "factor": 1.0})
        self._average: _Average | None = None
        if optimizer.ema:
            self._average = _Average(
                [p for group in groups for p in group["params"]], optimizer.ema
            )
        groups += stage.parameters()
        self.optimizer = make_optimizer(groups, optimizer, stage.plan.learning_rate)

    def step(self, step: int, images: Tensor, labels: Tensor) -> float:
        """Train on one batch; the loss before it.

        ``images`` [N, C, H, W] and ``labels``, int64 [N] or shares of classes [N, classes], are on
        the network's device. Raises TrainingDivergedError where the loss or, looked at now and
        then, a parameter is not finite.
        """
        rate = rate_at(self._stage, self._schedule, step, self.steps, self._steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        kind = images.device.type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=kind in BFLOAT16_DEVICES):
            logits = self._forward(images)
            with torch.no_grad():
                soft = None if self._teacher is None else self._teacher(images).float()
        loss = task_loss(logits.float(), labels, soft, self._distillation, self._smoothing)
        own = self._stage.loss(step)
        if own is not None:
            loss = loss + own
        value = self._workers.mean(loss)
        if not math.isfinite(value):
            raise_for_loss(value, self._stage.network, self._where(step), images)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for module in self._constrained:
                module.constrain()
            if self._average is not None:
                self._average.add(step)
        if step % _CHECK_STEPS == 0 or step + 1 == self.steps:
            self.check(step)
        return value

    def conclude(self) -> None:
        """Leave the network with its average weights, where they are kept."""
        if self._average is not None:
            self._average.take()

    def state(self) -> dict[str, Any]:
        """What a resumed run needs: the optimizer's state, and the average weights."""
        average = None if self._average is None else self._average.values
        return {**self.optimizer.state_dict(), "average": average}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up :meth:`state`."""
        self.optimizer.load_state_dict(state)
        if self._average is not None:
            self._average.restore(state["average"])

    def check(self, step: int) -> None:
        """Raise TrainingDivergedError where a parameter is not finite."""
        check_parameters(self._stage.network, self._where(step))

    def _where(self, step: int) -> str:
        return f"stage '{self._stage.name}', step {step} of {self.steps}"


class _Average:
    """A running average of parameters, of which the first steps are forgotten sooner."""

    def __init__(self, parameters: list[Tensor], decay: float) -> None:
        self.values = [parameter.detach().clone() for parameter in parameters]
        self._parameters = parameters
        self._decay = decay

    def add(self, step: int) -> None:
        """Take in the parameters after ``step``, counted from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for value, parameter in zip(self.values, self._parameters, strict=True):
            value.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def take(self) -> None:
        """Set the parameters to the average."""
        for value, parameter in zip(self.values, self._parameters, strict=True):
            parameter.copy_(value)

    def restore(self, values: list[Tensor]) -> None:
        """Take up the values of a checkpoint."""
        for value, kept in zip(self.values, values, strict=True):
            value.copy_(kept)


def task_loss(
    logits: Tensor,
    labels: Tensor,
    teacher: Tensor | None,
    recipe: DistillationRecipe,
    smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy to ``labels``, mixed with distillation from ``teacher``.

    ``labels`` as in :meth:`StageRun.step`; ``smoothing`` is the share of them that is spread.

    ``logits`` and ``teacher`` (the teacher's logits) [N, classes].
    Distillation as in Hinton et al., arXiv 1503.02531, section 2: both softened by the
    temperature, and multiplied by its square so that gradients keep their size.
    """
    if teacher is None or recipe.weight == 0:
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    soft = functional.kl_div(
        (logits / recipe.temperature).log_softmax(dim=1),
        (teacher / recipe.temperature).log_softmax(dim=1),
        reduction="batchmean",
        log_target=True,
    )
    soft = recipe.weight * recipe.temperature**2 * soft
    if recipe.weight == 1:
        return soft
    hard = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    return (1 - recipe.weight) * hard + soft


def rate_at(stage: Stage, kind: str, step: int, steps: int, steps_per_epoch: int) -> float:
    """The learning rate: linear warm-up, then "cosine" or "linear" decay to 0 at the end."""
    highest = stage.plan.learning_rate
    warmup = round(stage.plan.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return highest * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    decay = 0.5 * (1 + math.cos(math.pi * done)) if kind == "cosine" else 1 - done
    return highest * decay


def make_optimizer(
    groups: list[dict[str, Any]], recipe: OptimizerRecipe, learning_rate: float
) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD over parameter groups that have their own weight decay."""
    if recipe.kind == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=recipe.momentum)
    kind = torch.optim.AdamW if recipe.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr=learning_rate)
