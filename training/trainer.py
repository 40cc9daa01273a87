"""Trains a recipe from the start or from a checkpoint."""

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bitat_deploy.datasets import Dataset, load_dataset
from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import Checkpoint, save_checkpoint
from bitat_deploy.training.data import (
    Batch,
    images_to_tensor,
    split_training,
    steps_per_epoch,
    targets,
    to_image_set,
    training_batches,
)
from bitat_deploy.training.distributed import Workers, synchronize_normalization
from bitat_deploy.training.evaluation import EVALUATION_BATCH, network_top1
from bitat_deploy.training.loop import StageRun
from bitat_deploy.training.networks import build_network
from bitat_deploy.training.normalization import reestimate_normalization
from bitat_deploy.training.open_epoch import OpenEpoch, signs_of
from bitat_deploy.training.precision import bfloat16_pays, use_bfloat16
from bitat_deploy.training.progress import TrainingProgress, describe_epoch, describe_stage
from bitat_deploy.training.quantizers import WeightMode
from bitat_deploy.training.recipe import Recipe
from bitat_deploy.training.result import evaluate
from bitat_deploy.training.stages import Stage
from bitat_deploy.training.twin import load_teacher, load_twin

_NORMALIZATION_BATCHES = 100  # or an epoch, where that is less


class Trainer:
    """Trains one recipe on one data set; its state is a :class:`Checkpoint`.

    ``data_path`` is given to :func:`~bitat_deploy.datasets.load_dataset`; ``checkpoint`` is
    written every ``checkpoint_seconds`` and after every stage, by the main one of ``workers``.
    ``stages`` are the recipe's, ``training`` its images.
    """

    def __init__(
        self,
        recipe: Recipe,
        data_path: Path | None,
        checkpoint: Path,
        checkpoint_seconds: float = 60.0,
        workers: Workers | None = None,
    ) -> None:
        size, held_out = recipe.data.image_size, recipe.data.held_out
        dataset = load_dataset(recipe.dataset, "train", data_path, size, held_out)
        test = load_dataset(recipe.dataset, "test", data_path, size, held_out)
        self._input_shape = _input_shape(dataset, recipe)
        self._test = to_image_set(test, recipe.data.test_images).middle(recipe.data.crop)
        self.training, validation = split_training(dataset, recipe.data)
        self._validation = validation.middle(recipe.data.crop)
        if len(self.training) < recipe.data.batch_size:
            raise InputError(
                f"the data set's {len(dataset.labels)} training images leave no batch of "
                f"{recipe.data.batch_size} besides {recipe.data.validation_images} for validation"
            )
        self._workers = workers or Workers()
        self._part = self._workers.part(recipe.data.batch_size)
        self.recipe = recipe
        self._path = checkpoint
        self._seconds = checkpoint_seconds
        self._class_names = dataset.class_names
        torch.manual_seed(recipe.seed)
        self._network = build_network(
            recipe.network, recipe.quantization, self._input_shape, len(self._class_names)
        )
        if self._workers.count > 1:
            synchronize_normalization(self._network)
        self._network.to(self._workers.device())
        self._layers = list(self._network.binary_layers())
        self.stages = recipe.stages(self._network)
        self.start_note = ""
        self._steps_per_epoch = steps_per_epoch(self.training, recipe.data.batch_size)

    def start(self) -> Checkpoint:
        """The state before the first step; :attr:`start_note` says where it comes from."""
        recipe = self.recipe
        if recipe.init is not None:
            path = Path(recipe.init)
            self.start_note = load_twin(path, recipe, self._network, self._class_names)
        network = self._copied()
        teacher = network if recipe.full_precision is None and self._teaches_itself() else None
        return Checkpoint(
            recipe,
            self._class_names,
            self._input_shape,
            network,
            teacher=teacher,
            narrow=self._bfloat16_pays(),
        )

    def run(self, state: Checkpoint, progress: TrainingProgress) -> Checkpoint:
        """Train from ``state`` to the end, evaluate, save.

        Raises TrainingDivergedError when a loss or a weight is no longer finite,
        CheckpointNotSavedError when the disk is full; the last checkpoint is good in both cases.
        """
        self._network.load_state_dict(state.network)
        use_bfloat16(self._network, state.narrow)
        if state.narrow:
            progress.note("dense layers train in bfloat16: measured, it takes less time here")
        steps = sum(stage.steps(self._steps_per_epoch) for stage in self.stages)
        progress.begin(total_steps=steps, done=self._done(state))
        while state.stage < len(self.stages):
            progress.stage(self.stages[state.stage].name)
            state = self._run_stage(state, progress)
            self._save(state)
            progress.note(describe_stage(state.history[-1]))
        if state.result is None:
            self.stages[-1].configure()  # a resumed run may come here first
            result = evaluate(state, self._network, self._test) if self._workers.main else None
            state = replace(state, result=result)
            self._save(state)
        return state

    def resumed(self, state: Checkpoint) -> Checkpoint:
        """``state``, read from a file; where the run is not over it notes that it was resumed."""
        if state.result is not None:
            return state
        return replace(state, resumed=(*state.resumed, self._done(state)))

    def _done(self, state: Checkpoint) -> int:
        """Steps of the whole run."""
        before = self.stages[: state.stage]
        return sum(stage.steps(self._steps_per_epoch) for stage in before) + state.step

    def begin(self, state: Checkpoint) -> StageRun:
        """Prepare the stage that ``state`` is in, of which it may have done some steps."""
        stage = self.stages[state.stage]
        if state.memory is not None:
            stage.restore(state.memory)
        run = StageRun(
            stage,
            self._calibration,
            self._steps_per_epoch,
            self.recipe.optimizer,
            self.recipe.distillation,
            self._workers,
            self._teacher(state),
            resumed=state.step > 0 or state.open_epoch is not None,
        )
        if state.optimizer is not None:
            run.restore(state.optimizer)
        return run

    def train_batch(self, run: StageRun, step: int, batch: Batch) -> float:
        """One step; gives the loss."""
        device = self._workers.device()
        images = images_to_tensor(batch.images.to(device))
        labels = targets(batch, len(self._class_names))
        return run.step(step, images, labels.to(device))

    def _bfloat16_pays(self) -> bool:
        """Measured on the first batch, which stays the first; several processes do without."""
        if self._workers.count > 1:
            return False
        batch = next(self._batches(0, 0, 1))
        images = images_to_tensor(batch.images.to(self._workers.device()))
        return bfloat16_pays(self._network, images, batch.labels)

    def _teaches_itself(self) -> bool:
        """Whether the teacher is the run's own full-precision twin."""
        distillation = self.recipe.distillation
        return distillation.weight > 0 and distillation.teacher is None

    def _teacher(self, state: Checkpoint) -> nn.Module | None:
        """The teacher in evaluation mode, without gradient; None where there is none (yet)."""
        distillation = self.recipe.distillation
        if distillation.weight and distillation.teacher is not None:
            path = Path(distillation.teacher)
            teacher = load_teacher(path, self._class_names, self._input_shape)
        elif state.teacher is not None:
            teacher = copy.deepcopy(self._network)
            teacher.load_state_dict(state.teacher)
            teacher.set_activations(binary=False)
            teacher.set_weights(WeightMode.FULL)
        else:
            return None
        return teacher.to(self._workers.device()).eval().requires_grad_(False)

    def _run_stage(self, state: Checkpoint, progress: TrainingProgress) -> Checkpoint:
        stage = self.stages[state.stage]
        run = self.begin(state)
        epoch = OpenEpoch.restored(state.open_epoch) or OpenEpoch(signs_of(self._layers))
        began = saved = time.monotonic()
        batches = self._batches(state.stage, state.step, run.steps)
        for step, batch in enumerate(batches, start=state.step):
            before = time.monotonic()
            loss = self.train_batch(run, step, batch)
            epoch.add(loss, time.monotonic() - before)
            progress.step(epoch.recent_loss)
            last = step + 1 == run.steps
            if (step + 1) % self._steps_per_epoch == 0 or last:
                record = self._close(epoch, stage, step)
                state = replace(state, epochs=(*state.epochs, record))
                epoch = OpenEpoch(signs_of(self._layers))
                progress.note(describe_epoch(record))
            if not last and time.monotonic() - saved > self._seconds:
                run.check(step)
                saved = time.monotonic()
                self._save(
                    replace(
                        state,
                        network=self._copied(),
                        optimizer=run.state(),
                        step=step + 1,
                        memory=stage.state(),
                        open_epoch=epoch.state(),
                        elapsed=state.elapsed + saved - began,
                    )
                )
        return self._finish(state, run, began)

    def _close(self, epoch: OpenEpoch, stage: Stage, step: int) -> dict[str, Any]:
        """The record of a finished epoch."""
        rank_images = self._part.stop - self._part.start
        record = epoch.record(self._layers, rank_images * self._workers.count)
        accuracy = network_top1(self._network, self._validation)
        stage.configure()
        where = {"stage": stage.name, "epoch": (step + 1) / self._steps_per_epoch}
        return {**where, **record, "validation_top1": accuracy}

    def _finish(self, state: Checkpoint, run: StageRun, began: float) -> Checkpoint:
        """Finish the stage, re-estimate the statistics, and add the stage's record."""
        run.conclude()
        stage, network, teacher = self.stages[state.stage], self._network, state.teacher
        record: dict[str, Any] = {
            "stage": stage.name,
            "kind": stage.title.replace(" ", "-"),
            "steps": run.steps,
            **stage.finish(lambda: network_top1(network, self._validation)),
        }
        reestimate_normalization(network, stage.frozen(), self._augmented(state.stage, run.steps))
        if stage.teaches and self._teaches_itself():
            teacher = self._copied()
        if stage.teaches:
            record["test_top1"] = network_top1(network, self._test)
        record["validation_top1"] = network_top1(network, self._validation)
        elapsed = state.elapsed + time.monotonic() - began
        return replace(
            state,
            network=self._copied(),
            optimizer=None,
            stage=state.stage + 1,
            step=0,
            memory=stage.state(),
            teacher=teacher,
            open_epoch=None,
            history=(*state.history, {**record, "elapsed_seconds": round(elapsed, 1)}),
            elapsed=elapsed,
        )

    def _save(self, state: Checkpoint) -> None:
        if self._workers.main:
            save_checkpoint(state, self._path)

    def _copied(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._network.state_dict().items()}

    def _batches(self, stage: int, first: int, last: int) -> Iterator[Batch]:
        """This process's part of the batches of a stage."""
        seed = self.recipe.seed * 1009 + stage
        return training_batches(self.training, self.recipe.data, seed, first, last, self._part)

    def _augmented(self, stage: int, steps: int) -> Iterator[Tensor]:
        """Images as a stage of so many steps would see them next, for the statistics."""
        count = min(_NORMALIZATION_BATCHES, self._steps_per_epoch)
        for batch in self._batches(stage, steps, steps + count):
            yield images_to_tensor(batch.images.to(self._workers.device()))

    def _calibration(self) -> Iterator[Tensor]:
        count = min(self.recipe.data.calibration_images, len(self.training))
        data = self.training.middle(self.recipe.data.crop)
        for images in data.images[:count].split(EVALUATION_BATCH):
            yield images_to_tensor(images.to(self._workers.device()))


def _input_shape(dataset: Dataset, recipe: Recipe) -> tuple[int, int, int]:
    """(height, width, channels) of what the network sees. Raises InputError for a large crop."""
    height, width, channels = dataset.images.shape[1:]
    crop = recipe.data.crop
    if crop is None:
        return height, width, channels
    if crop > min(height, width):
        raise InputError(
            f"data.crop {crop} is more than the images' {width}x{height} pixels; lower it or set "
            "data.image_size"
        )
    return crop, crop, channels
