"""Runs a recipe from its first or any later step, and leaves a checkpoint behind."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bitat_deploy.datasets import load_dataset
from bitat_deploy.errors import InputError
from bitat_deploy.training.bitat.stage import calibrate, commit_layer, reestimate_normalization
from bitat_deploy.training.checkpoint import Checkpoint, save_checkpoint
from bitat_deploy.training.data import (
    Batch,
    images_to_tensor,
    split_training,
    steps_per_epoch,
    to_image_set,
    training_batch,
)
from bitat_deploy.training.divergence import check_parameters, raise_for_loss
from bitat_deploy.training.evaluation import EVALUATION_BATCH, network_logits, network_top1
from bitat_deploy.training.integer_network import checkpoint_network, integer_top1
from bitat_deploy.training.networks import BinaryLayer, BinaryMobileNet, build_network
from bitat_deploy.training.objective import importance_loss, task_loss
from bitat_deploy.training.progress import TrainingProgress
from bitat_deploy.training.recipe import Recipe
from bitat_deploy.training.schedule import Stage, StageKind, build_stages, configure

_CHECK_STEPS = 100


class Trainer:
    """Trains one recipe on one data set; its state is a :class:`Checkpoint`.

    ``data_path`` is given to :func:`~bitat_deploy.datasets.load_dataset`; ``checkpoint`` is
    written every ``checkpoint_seconds`` and after every stage.
    """

    def __init__(
        self,
        recipe: Recipe,
        data_path: Path | None,
        checkpoint: Path,
        checkpoint_seconds: float = 60.0,
    ) -> None:
        dataset = load_dataset(recipe.dataset, "train", data_path)
        self._test = load_dataset(recipe.dataset, "test", data_path)
        self._training, self._validation = split_training(dataset, recipe.data)
        if len(self._training) < recipe.data.batch_size:
            raise InputError(
                f"the data set's {len(dataset.labels)} training images leave no batch of "
                f"{recipe.data.batch_size} besides {recipe.data.validation_images} for validation"
            )
        self._recipe = recipe
        self._path = checkpoint
        self._seconds = checkpoint_seconds
        self._class_names = dataset.class_names
        height, width, channels = dataset.images.shape[1:]
        self._input_shape = (height, width, channels)
        torch.manual_seed(recipe.seed)
        self._network = build_network(recipe.network, self._input_shape, len(self._class_names))
        self._layers = list(self._network.binary_layers())
        self._stages = build_stages(recipe, self._network)

    def start(self) -> Checkpoint:
        """The state before the first step."""
        return Checkpoint(
            recipe=self._recipe,
            class_names=self._class_names,
            input_shape=self._input_shape,
            network=_copied(self._network),
            optimizer=None,
            stage=0,
            step=0,
            teacher=None,
            history=(),
            elapsed=0.0,
        )

    def run(self, state: Checkpoint, progress: TrainingProgress) -> Checkpoint:
        """Train from ``state`` to the end, evaluate in integers, save.

        Raises TrainingDivergedError when a loss or a weight is not finite any more.
        """
        self._network.load_state_dict(state.network)
        done = sum(map(self._steps, self._stages[: state.stage])) + state.step
        progress.begin(total_steps=sum(map(self._steps, self._stages)), done=done)
        while state.stage < len(self._stages):
            stage = self._stages[state.stage]
            progress.stage(stage.name)
            state = self._run_stage(stage, state, progress)
            save_checkpoint(state, self._path)
            progress.note(_describe(state.history[-1]))
        if state.top1 is None:
            state = self._evaluate(state)
            save_checkpoint(state, self._path)
        return state

    def _steps(self, stage: Stage) -> int:
        return round(stage.epochs * steps_per_epoch(self._training, self._recipe.data.batch_size))

    def _run_stage(self, stage: Stage, state: Checkpoint, progress: TrainingProgress) -> Checkpoint:
        configure(self._network, stage)
        parameters = [p for p in self._network.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=stage.learning_rate)
        if state.optimizer is not None:
            optimizer.load_state_dict(state.optimizer)
        # H is the same at every resume, for all below the stage's layer is frozen.
        layer = None if stage.layer is None else self._layers[stage.layer]
        moment = None if layer is None else calibrate(self._network, layer, self._calibration())
        seed = self._recipe.seed * 1009 + state.stage
        began = saved = time.monotonic()
        losses: list[float] = []
        steps = self._steps(stage)
        for step in range(state.step, steps):
            _set_rate(optimizer, stage.learning_rate, step, steps)
            batch = training_batch(self._training, self._recipe.data, seed, step)
            loss = self._loss(batch, state.teacher, layer, moment)
            value = float(loss.detach())
            where = f"stage '{stage.name}', step {step} of {steps}"
            if not math.isfinite(value):
                raise_for_loss(value, self._network, where)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if step % _CHECK_STEPS == 0 or step + 1 == steps:
                check_parameters(self._network, where)
            losses = [*losses[-99:], value]
            progress.step(sum(losses) / len(losses))
            now = time.monotonic()
            if now - saved > self._seconds and step + 1 < steps:
                check_parameters(self._network, where)
                save_checkpoint(
                    replace(
                        state,
                        network=_copied(self._network),
                        optimizer=optimizer.state_dict(),
                        step=step + 1,
                        elapsed=state.elapsed + now - began,
                    ),
                    self._path,
                )
                saved = now
        record = {"stage": stage.name, "steps": steps, "loss": sum(losses) / max(len(losses), 1)}
        record |= self._finish(stage, layer, moment)
        teacher = state.teacher
        if stage.kind is StageKind.FULL_PRECISION and self._recipe.distillation.weight > 0:
            teacher = network_logits(self._network, self._training.images)
        record["validation_top1"] = network_top1(self._network, self._validation)
        elapsed = state.elapsed + time.monotonic() - began
        return replace(
            state,
            network=_copied(self._network),
            optimizer=None,
            stage=state.stage + 1,
            step=0,
            teacher=teacher,
            history=(*state.history, {**record, "elapsed_seconds": round(elapsed, 1)}),
            elapsed=elapsed,
        )

    def _loss(
        self,
        batch: Batch,
        teacher: Tensor | None,
        layer: BinaryLayer | None,
        moment: Tensor | None,
    ) -> Tensor:
        logits = self._network(images_to_tensor(batch.images))
        soft = None if teacher is None else teacher[batch.index]
        loss = task_loss(logits, batch.labels, soft, self._recipe.distillation)
        if layer is not None and moment is not None:
            loss = loss + importance_loss(layer, moment, self._recipe.progressive.importance_weight)
        return loss

    def _finish(
        self, stage: Stage, layer: BinaryLayer | None, moment: Tensor | None
    ) -> dict[str, Any]:
        """Commit a progressive stage's layer and tell what that did; settle the statistics."""
        if stage.kind is StageKind.FINE_TUNE:
            everything = (self._network.stem, *self._layers)
            reestimate_normalization(self._network, everything, self._calibration())
        if stage.layer is None or layer is None or moment is None:
            return {}
        before = network_top1(self._network, self._validation)
        commit = commit_layer(layer, moment, self._recipe.progressive.descent_sweeps)
        above = self._layers[stage.layer :]
        reestimate_normalization(self._network, above, self._calibration())
        return {
            "validation_top1_before_commit": before,
            "relative_output_error_before": commit.error_before,
            "relative_output_error_after": commit.error_after,
            "signs_flipped_fraction": commit.flipped / commit.signs.numel(),
        }

    def _calibration(self) -> Iterator[Tensor]:
        count = min(self._recipe.progressive.calibration_images, len(self._training))
        for images in self._training.images[:count].split(EVALUATION_BATCH):
            yield images_to_tensor(images)

    def _evaluate(self, state: Checkpoint) -> Checkpoint:
        test = to_image_set(self._test, self._recipe.data.test_images)
        network = checkpoint_network(state)
        top1 = integer_top1(network, test.images.numpy(), test.labels.numpy())
        return replace(state, top1=top1, test_images=len(test))


def _copied(network: BinaryMobileNet) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _set_rate(optimizer: torch.optim.Optimizer, first: float, step: int, steps: int) -> None:
    """Cosine decay from the first rate to zero."""
    for group in optimizer.param_groups:
        group["lr"] = first * 0.5 * (1 + math.cos(math.pi * step / steps))


def _describe(record: dict[str, Any]) -> str:
    parts = [f"{record['stage']}: {record['steps']} steps", f"loss {record['loss']:.3f}"]
    if record["validation_top1"] is not None:
        parts.append(f"validation {record['validation_top1']:.4f}")
    if "signs_flipped_fraction" in record:
        parts.append(
            f"output error {record['relative_output_error_before']:.3f} -> "
            f"{record['relative_output_error_after']:.3f}"
        )
        parts.append(f"{record['signs_flipped_fraction']:.1%} of signs flipped")
    return ", ".join(parts) + f", {record['elapsed_seconds']:.0f} s"
