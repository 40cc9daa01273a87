"""Methods as lists of stages, and what each stage quantizes, freezes and trains.

Every method begins with the full-precision twin. Then

- straight-through: weights and activations at once (XNOR-Net's scales);
- uniq: the same with UniQ's quantizers, whose first steps come from calibration images;
- reactnet: binary activations, then both (ReActNet, ECCV 2020, section 5: two-step training);
- bitat: binary activations; layer by layer from the bottom to the top, each quantized against the
  quantized layers below it and then frozen, while the layers above stay in full precision and are
  fine-tuned [P]; last a joint stage of batch normalisation (with it alpha and the thresholds, which
  it absorbs), the 8-bit stem and classifier [R]. Where the recipe says so that stage also lets the
  committed signs change again, straight-through, with alpha = mean |w|, from the magnitudes that
  the weights had before their commit: no part of BiTAT.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from torch import nn

from bitat_deploy.training.networks import QuantizedNetwork, WeightMode
from bitat_deploy.training.recipe import Recipe, StageRecipe


class StageKind(Enum):
    """What a stage trains."""

    FULL_PRECISION = "full-precision"
    BINARY_ACTIVATIONS = "binary-activations"
    QUANTIZED = "quantized"
    PROGRESSIVE = "progressive"
    FINE_TUNE = "fine-tune"


@dataclass(frozen=True)
class Stage:
    """One stretch of training with its own optimizer; ``layer`` indexes the binary layers.

    ``signs``: whether a fine-tune may change them.
    """

    name: str
    kind: StageKind
    epochs: float
    learning_rate: float
    warmup_epochs: float = 0.0
    layer: int | None = None
    signs: bool = False


def build_stages(recipe: Recipe, network: QuantizedNetwork) -> tuple[Stage, ...]:
    """The stages of a recipe in order. Stages without epochs stay: they still commit a layer."""
    plain: list[tuple[str, StageKind, StageRecipe | None]] = [
        ("full precision", StageKind.FULL_PRECISION, recipe.full_precision),
        ("binary activations", StageKind.BINARY_ACTIVATIONS, recipe.binary_activations),
        ("quantized", StageKind.QUANTIZED, recipe.quantized),
    ]
    stages = [
        Stage(name, kind, section.epochs, section.learning_rate, section.warmup_epochs)
        for name, kind, section in plain
        if section is not None
    ]
    if recipe.progressive is not None:
        section = recipe.progressive
        for index, layer in enumerate(network.binary_layers()):
            epochs = section.depthwise_epochs if layer.depthwise else section.pointwise_epochs
            stages.append(
                Stage(layer.name, StageKind.PROGRESSIVE, epochs, section.learning_rate, layer=index)
            )
    if recipe.fine_tune is not None:
        last = recipe.fine_tune
        stages.append(
            Stage(
                "fine-tune",
                StageKind.FINE_TUNE,
                last.epochs,
                last.learning_rate,
                last.warmup_epochs,
                signs=last.signs,
            )
        )
    return tuple(stages)


def configure(network: QuantizedNetwork, stage: Stage) -> None:
    """Set what is quantized, what is frozen and what trains in ``stage``."""
    network.requires_grad_(True)
    network.train()
    network.set_activations(binary=stage.kind is not StageKind.FULL_PRECISION)
    network.set_weights(WeightMode.BINARY if stage.kind is StageKind.QUANTIZED else WeightMode.FULL)
    if stage.kind is StageKind.PROGRESSIVE:
        _freeze_below(network, stage)
    elif stage.kind is StageKind.FINE_TUNE:
        network.set_weights(WeightMode.BINARY if stage.signs else WeightMode.COMMITTED)
        for layer in network.binary_layers():
            layer.weight.requires_grad_(stage.signs)


def modules_below(network: nn.Module, layer: nn.Module) -> Iterator[nn.Module]:
    """The modules that compute before ``layer``: networks register theirs from the bottom up."""
    holders = {module for module in network.modules() if layer in set(module.modules())}
    for module in network.modules():
        if module is layer:
            return
        if module not in holders:
            yield module


def rate_at(stage: Stage, kind: str, step: int, steps: int, steps_per_epoch: int) -> float:
    """The learning rate: linear warm-up, then "cosine" or "linear" decay to 0 at the end."""
    warmup = round(stage.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return stage.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    decay = 0.5 * (1 + math.cos(math.pi * done)) if kind == "cosine" else 1 - done
    return stage.learning_rate * decay


def _freeze_below(network: QuantizedNetwork, stage: Stage) -> None:
    assert stage.layer is not None
    layers = list(network.binary_layers())
    current = layers[stage.layer]
    for module in modules_below(network, current):
        module.requires_grad_(False)
        module.eval()
    for layer in layers[: stage.layer]:
        layer.weight_mode = WeightMode.COMMITTED
    current.weight_mode = WeightMode.BINARY
