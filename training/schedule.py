"""The order of training: full precision, binary activations, then layer by layer, then together.

BiTAT's schedule [P]: progressive from the bottom to the top, each layer quantized against the
quantized layers below it and then frozen, while the layers above stay in full precision and are
fine-tuned. The last, joint stage trains batch normalisation (with it alpha and the thresholds,
which it absorbs), the 8-bit stem and classifier [R]. Where the recipe says so it also lets the
committed signs change again, straight-through, with alpha = mean |w|: no part of BiTAT. The zoo's
MobileNet, whose recipe does so, had 81.6 % before this stage and 86.3 % after it (Fashion-MNIST,
integer evaluation; how much of that the signs give was not measured apart).
"""

from dataclasses import dataclass
from enum import Enum

from bitat_deploy.training.networks.layers import WeightMode
from bitat_deploy.training.networks.mobilenet import BinaryMobileNet
from bitat_deploy.training.recipe import Recipe


class StageKind(Enum):
    """What a stage trains."""

    FULL_PRECISION = "full-precision"
    BINARY_ACTIVATIONS = "binary-activations"
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
    layer: int | None = None
    signs: bool = False


def build_stages(recipe: Recipe, network: BinaryMobileNet) -> tuple[Stage, ...]:
    """The stages of a recipe in order. Stages without epochs stay: they still commit a layer."""
    first, second, progressive = (
        recipe.full_precision,
        recipe.binary_activations,
        recipe.progressive,
    )
    stages = [
        Stage("full precision", StageKind.FULL_PRECISION, first.epochs, first.learning_rate),
        Stage(
            "binary activations", StageKind.BINARY_ACTIVATIONS, second.epochs, second.learning_rate
        ),
    ]
    for index, layer in enumerate(network.binary_layers()):
        epochs = progressive.depthwise_epochs if layer.depthwise else progressive.pointwise_epochs
        stages.append(
            Stage(layer.name, StageKind.PROGRESSIVE, epochs, progressive.learning_rate, index)
        )
    last = recipe.fine_tune
    stages.append(
        Stage("fine-tune", StageKind.FINE_TUNE, last.epochs, last.learning_rate, signs=last.signs)
    )
    return tuple(stages)


def configure(network: BinaryMobileNet, stage: Stage) -> None:
    """Set what is binary, what is frozen and what trains in ``stage``."""
    network.requires_grad_(True)
    network.train()
    network.set_activations(binary=stage.kind is not StageKind.FULL_PRECISION)
    network.set_weights(WeightMode.FULL)
    if stage.kind is StageKind.PROGRESSIVE:
        _freeze_below(network, stage)
    elif stage.kind is StageKind.FINE_TUNE:
        network.set_weights(WeightMode.BINARY if stage.signs else WeightMode.COMMITTED)
        for layer in network.binary_layers():
            layer.weight.requires_grad_(stage.signs)


def _freeze_below(network: BinaryMobileNet, stage: Stage) -> None:
    assert stage.layer is not None
    network.stem.requires_grad_(False)
    network.stem.eval()
    for index, layer in enumerate(network.binary_layers()):
        if index < stage.layer:
            layer.weight_mode = WeightMode.COMMITTED
            layer.requires_grad_(False)
            layer.eval()
        elif index == stage.layer:
            layer.weight_mode = WeightMode.BINARY
