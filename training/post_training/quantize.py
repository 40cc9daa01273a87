"""A trained checkpoint and unlabelled images to a checkpoint of few bits."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import Checkpoint
from bitat_deploy.training.data import (
    ImageSet,
    images_to_tensor,
    steps_per_epoch,
    training_batches,
)
from bitat_deploy.training.distributed import Workers
from bitat_deploy.training.evaluation import EVALUATION_BATCH
from bitat_deploy.training.loop import StageRun
from bitat_deploy.training.networks import QuantizedNetwork, build_network
from bitat_deploy.training.normalization import reestimate_normalization
from bitat_deploy.training.post_training.layerwise import LayerRecord, PostTrainingRecipe
from bitat_deploy.training.post_training.stage import PostTraining
from bitat_deploy.training.progress import TrainingProgress
from bitat_deploy.training.quantizers import Activation, WeightMode, quantizer_of
from bitat_deploy.training.recipe import Recipe, recipe_from_mapping
from bitat_deploy.training.result import evaluate
from bitat_deploy.training.stages import Stage
from bitat_deploy.training.twin import finished_network

_LARGEST_BATCH = 64


@dataclass(frozen=True)
class QuantizeOptions:
    """Bits of weights and activations, and how.

    ``layer_bits``: other bits of the weights of single layers, as in a recipe. ``steps`` (batches
    of 64 or of all images) train batch normalisations, stem and classifier afterwards, towards the
    answers that the network gave before.
    """

    weight_bits: int
    activation_bits: int
    post_training: PostTrainingRecipe = field(default_factory=PostTrainingRecipe)
    steps: int = 0
    learning_rate: float = 1e-3
    seed: int = 1
    layer_bits: dict[str, int] = field(default_factory=dict)


def quantize_checkpoint(
    checkpoint: Checkpoint,
    path: Path,
    photos: Tensor,
    test: ImageSet,
    options: QuantizeOptions,
    progress: TrainingProgress,
) -> Checkpoint:
    """Quantize a finished run's network on ``photos`` uint8 [N, H, W, C], without labels.

    ``path`` is the checkpoint's file. The result is a finished run of method "post-training", with
    its accuracy on ``test``, where that has images. Raises InputError where the network cannot have
    these numbers of bits.
    """
    began = time.monotonic()
    reference = reference_network(checkpoint, path)
    recipe = quantization_recipe(checkpoint, path, reference, len(photos), options)
    device = Workers().device()
    torch.manual_seed(options.seed)
    network = build_network(
        recipe.network, recipe.quantization, checkpoint.input_shape, len(checkpoint.class_names)
    )
    take_over(reference, network)
    stages = recipe.stages(network.to(device))
    data = ImageSet(photos, torch.zeros(len(photos), dtype=torch.int64))
    progress.begin(len(list(network.binary_layers())) + options.steps, done=0)
    history = tuple(_run(stage, data, recipe, reference.to(device), progress) for stage in stages)
    elapsed = time.monotonic() - began
    state = Checkpoint(
        recipe,
        checkpoint.class_names,
        checkpoint.input_shape,
        {name: value.detach().cpu() for name, value in network.state_dict().items()},
        stage=len(stages),
        history=history,
        elapsed=elapsed,
    )
    return replace(state, result=evaluate(state, network, test))


def reference_network(checkpoint: Checkpoint, path: Path) -> QuantizedNetwork:
    """The network of a finished run whose weights are real. Raises InputError for others."""
    if checkpoint.result is None:
        raise InputError(f"checkpoint '{path}' is of an unfinished run; finish it first")
    network = finished_network(checkpoint)
    if any(layer.weight_mode is not WeightMode.FULL for layer in network.binary_layers()):
        raise InputError(
            f"the weights of '{path}' are quantized already (method "
            f"'{checkpoint.recipe.method}'); give a checkpoint of method full-precision or "
            "quantized-activations"
        )
    return network


def quantization_recipe(
    checkpoint: Checkpoint,
    path: Path,
    reference: QuantizedNetwork,
    images: int,
    options: QuantizeOptions,
) -> Recipe:
    """The recipe of the quantized network."""
    before = checkpoint.recipe
    activations = _trained_activations(reference)
    steps = quantizer_of(before.quantization).steps
    if activations:
        if options.activation_bits != before.quantization.activation_bits:
            raise InputError(
                f"the activations of '{path}' were trained with "
                f"{before.quantization.activation_bits} bits; ask for as many, not "
                f"{options.activation_bits}"
            )
    elif options.activation_bits == 1 or not steps:
        raise InputError(
            f"'{path}' was trained in full precision; activations of 1 bit must be trained: give a "
            "checkpoint of method quantized-activations, or, for 2 bits and more, one with "
            "quantization.quantizer uniq"
        )
    batch = min(_LARGEST_BATCH, images)
    if batch < 2:
        raise InputError("quantizing needs 2 images at least, better some hundred")
    values = before.plain()
    name = f"w{options.weight_bits}a{options.activation_bits}"
    values |= {
        "name": f"{before.name[: 100 - len(name) - 1]}-{name}",
        "description": f"{before.name}, quantized after training",
        "method": "post-training",
        "seed": options.seed,
        "init": str(path),
        "full_precision": None,
        "distillation": {},
        "optimizer": {},
    }
    for section in vars(before.sections):
        values.pop(section)
    values["quantization"] |= {
        "weight_bits": options.weight_bits,
        "activation_bits": options.activation_bits,
        "per_channel": steps,
    }
    if options.layer_bits:
        values["quantization"]["layer_bits"] = options.layer_bits
    values["data"] |= {
        "train_images": None,
        "validation_images": 0,
        "batch_size": batch,
        "calibration_images": images,
    }
    method = replace(options.post_training, binary_activations=activations)
    values["post_training"] = vars(method)
    if options.steps:
        epochs = options.steps / (images // batch)
        values["fine_tune"] = {"epochs": epochs, "learning_rate": options.learning_rate}
        values["distillation"] = {"weight": 1.0, "teacher": str(path)}
    return recipe_from_mapping(values)


def _activations(network: QuantizedNetwork) -> list[Activation]:
    return [part for part in network.modules() if isinstance(part, Activation)]


def _trained_activations(network: QuantizedNetwork) -> bool:
    return any(activation.quantized for activation in _activations(network))


def take_over(reference: QuantizedNetwork, network: QuantizedNetwork) -> None:
    """The reference's parameters; those of the activations' quantizers where they are trained."""
    network.load_twin(reference.state_dict())
    if not _trained_activations(reference):
        return
    for own, other in zip(_activations(network), _activations(reference), strict=True):
        own.load_state_dict(other.state_dict())


def _run(
    stage: Stage,
    data: ImageSet,
    recipe: Recipe,
    reference: QuantizedNetwork,
    progress: TrainingProgress,
) -> dict[str, Any]:
    """One stage, in the training loop; its record."""
    began = time.monotonic()
    device = next(stage.network.parameters()).device
    progress.stage(stage.name)

    def images() -> Iterator[Tensor]:
        for batch in data.middle(recipe.data.crop).images.split(EVALUATION_BATCH):
            yield images_to_tensor(batch.to(device))

    def augmented(first: int, last: int) -> Iterator[Tensor]:
        for batch in training_batches(data, recipe.data, recipe.seed, first, last):
            yield images_to_tensor(batch.images.to(device))

    def note(record: LayerRecord) -> None:
        progress.stage(record.name)
        progress.step(record.relative_output_error)

    if isinstance(stage, PostTraining):
        stage.watch = note
    per_epoch = steps_per_epoch(data, recipe.data.batch_size)
    distillation = recipe.distillation
    teacher = reference if distillation.weight else None
    run = StageRun(stage, images, per_epoch, recipe.optimizer, distillation, teacher=teacher)
    none = data.labels[: recipe.data.batch_size].to(device)
    for step, batch in enumerate(augmented(0, run.steps)):
        progress.step(run.step(step, batch, none))
    run.conclude()
    record = {"stage": stage.name, "kind": stage.title, "steps": run.steps}
    record |= stage.finish(lambda: None)
    if run.steps:
        after = augmented(run.steps, run.steps + per_epoch)
        reestimate_normalization(stage.network, stage.frozen(), after)
    seconds = round(time.monotonic() - began, 1)
    return {**record, "validation_top1": None, "elapsed_seconds": seconds}
