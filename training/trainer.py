"""Runs a recipe from its first or any later step, and leaves a checkpoint behind."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from rich.console import Console
from torch import Tensor

from bitat_deploy.datasets import load_dataset
from bitat_deploy.training.bitat.importance import relative_output_error
from bitat_deploy.training.bitat.stage import calibrate, commit_layer, reestimate_normalization
from bitat_deploy.training.checkpoint import Checkpoint, save_checkpoint
from bitat_deploy.training.data import (
    ImageSet,
    images_to_tensor,
    split_training,
    steps_per_epoch,
    to_image_set,
    training_batch,
)
from bitat_deploy.training.errors import TrainingDivergedError
from bitat_deploy.training.integer_network import checkpoint_network, integer_top1
from bitat_deploy.training.networks import BinaryMobileNet, build_network
from bitat_deploy.training.progress import TrainingProgress
from bitat_deploy.training.recipe import Recipe
from bitat_deploy.training.schedule import Stage, StageKind, build_stages, configure

_EVALUATION_BATCH = 500


@dataclass(frozen=True, eq=False)
class _Step:
    """What one training step needs besides the network and the optimizer."""

    images: Tensor
    labels: Tensor
    teacher: Tensor | None
    second_moment: Tensor | None


class Trainer:
    """Trains one recipe on one data set; its state is a :class:`Checkpoint`."""

    def __init__(
        self,
        recipe: Recipe,
        data_path: Path | None,
        output: Path,
        console: Console,
        checkpoint_seconds: float = 60.0,
    ) -> None:
        dataset = load_dataset(recipe.dataset, "train", data_path)
        self._test = load_dataset(recipe.dataset, "test", data_path)
        self._training, self._validation = split_training(dataset, recipe.data)
        if len(self._training) < recipe.data.batch_size:
            from bitat_deploy.errors import InputError

            raise InputError(
                f"the data set holds too few training images ({len(dataset.labels)}) for recipe "
                f"'{recipe.name}'"
            )
        self._recipe = recipe
        self._path = output / "checkpoint.pt"
        self._console = console
        self._seconds = checkpoint_seconds
        self._class_names = dataset.class_names
        height, width, channels = dataset.images.shape[1:]
        self._input_shape = (height, width, channels)
        torch.manual_seed(recipe.seed)
        self._network = build_network(recipe.network, self._input_shape, len(self._class_names))
        self._stages = build_stages(recipe, self._network)

    def start(self) -> Checkpoint:
        """The state before the first step."""
        return Checkpoint(
            self._recipe,
            self._class_names,
            self._input_shape,
            _copied(self._network),
            None,
            0,
            0,
            None,
            (),
            0.0,
        )

    def run(self, state: Checkpoint) -> Checkpoint:
        """Train from ``state`` to the end, evaluate, save. Raises TrainingDivergedError."""
        self._network.load_state_dict(state.network)
        done = sum(map(self._steps, self._stages[: state.stage])) + state.step
        total = sum(map(self._steps, self._stages))
        with TrainingProgress(total, done, self._console) as progress:
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
        moment = self._second_moment(stage)
        steps = self._steps(stage)
        seed = self._recipe.seed * 1009 + state.stage
        began = saved = time.monotonic()
        losses: list[float] = []
        for step in range(state.step, steps):
            _set_rate(optimizer, stage.learning_rate, step, steps)
            batch = training_batch(self._training, self._recipe.data, seed, step)
            teacher = None if state.teacher is None else state.teacher[batch.index]
            inputs = _Step(images_to_tensor(batch.images), batch.labels, teacher, moment)
            loss = self._loss(stage, inputs)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingDivergedError(
                    f"the loss became {value} in stage '{stage.name}', step {step} of {steps}; "
                    "lower this stage's learning_rate and start again in a new folder"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses = [*losses[-99:], value]
            progress.step(sum(losses) / len(losses))
            now = time.monotonic()
            if now - saved > self._seconds and step + 1 < steps:
                elapsed = state.elapsed + now - began
                save_checkpoint(
                    replace(
                        state,
                        network=_copied(self._network),
                        step=step + 1,
                        optimizer=optimizer.state_dict(),
                        elapsed=elapsed,
                    ),
                    self._path,
                )
                saved = now
        record: dict[str, Any] = {
            "stage": stage.name,
            "steps": steps,
            "loss": sum(losses) / max(len(losses), 1),
        }
        record |= self._finish(stage, moment)
        teacher_logits = state.teacher
        if stage.kind is StageKind.FULL_PRECISION and self._recipe.distillation.weight > 0:
            teacher_logits = self._logits(self._training)
        elapsed = state.elapsed + time.monotonic() - began
        record |= {"validation_top1": self._validate(), "elapsed_seconds": round(elapsed, 1)}
        return replace(
            state,
            network=_copied(self._network),
            optimizer=None,
            stage=state.stage + 1,
            step=0,
            teacher=teacher_logits,
            history=(*state.history, record),
            elapsed=elapsed,
        )

    def _loss(self, stage: Stage, step: _Step) -> Tensor:
        logits = self._network(step.images)
        loss = functional.cross_entropy(logits, step.labels)
        if step.teacher is not None:
            weight, heat = self._recipe.distillation.weight, self._recipe.distillation.temperature
            soft = functional.kl_div(
                (logits / heat).log_softmax(dim=1),
                (step.teacher / heat).log_softmax(dim=1),
                reduction="batchmean",
                log_target=True,
            )
            loss = (1 - weight) * loss + weight * heat**2 * soft
        if step.second_moment is not None:
            assert stage.layer is not None
            layer = list(self._network.binary_layers())[stage.layer]
            importance = self._recipe.progressive.importance_weight
            loss = loss + importance * relative_output_error(layer, step.second_moment)
        return loss

    def _second_moment(self, stage: Stage) -> Tensor | None:
        """H of the stage's layer; the same at every resume, for all below the layer is frozen."""
        if stage.layer is None:
            return None
        layer = list(self._network.binary_layers())[stage.layer]
        return calibrate(self._network, layer, self._calibration()).to(torch.float32)

    def _finish(self, stage: Stage, moment: Tensor | None) -> dict[str, Any]:
        """Commit a progressive stage's layer; tell what that did."""
        if stage.layer is None or moment is None:
            return {}
        before = self._validate()
        layer = list(self._network.binary_layers())[stage.layer]
        commit = commit_layer(layer, moment, self._recipe.progressive.descent_sweeps)
        reestimate_normalization(self._network, stage.layer, self._calibration())
        return {
            "validation_top1_before_commit": before,
            "relative_output_error_before": commit.error_before,
            "relative_output_error_after": commit.error_after,
            "signs_flipped_fraction": commit.flipped / commit.signs.numel(),
        }

    def _calibration(self) -> Iterator[Tensor]:
        count = min(self._recipe.progressive.calibration_images, len(self._training))
        for images in self._training.images[:count].split(_EVALUATION_BATCH):
            yield images_to_tensor(images)

    def _logits(self, data: ImageSet) -> Tensor:
        self._network.eval()
        with torch.no_grad():
            parts = [
                self._network(images_to_tensor(images))
                for images in data.images.split(_EVALUATION_BATCH)
            ]
        return torch.cat(parts)

    def _validate(self) -> float | None:
        """Top-1 on the held-out training images, in evaluation mode as the stage's network is."""
        if not len(self._validation):
            return None
        hits = self._logits(self._validation).argmax(dim=1) == self._validation.labels
        return float(hits.to(torch.float64).mean())

    def _evaluate(self, state: Checkpoint) -> Checkpoint:
        limit = self._recipe.data.test_images
        test = to_image_set(self._test, limit)
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
