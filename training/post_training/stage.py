"""Quantization without training, as a stage of a run."""

import copy
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from bitat_deploy.training.networks import QuantizedNetwork
from bitat_deploy.training.post_training.layerwise import (
    LayerRecord,
    PostTrainingRecipe,
    quantize_layers,
)
from bitat_deploy.training.quantizers import WeightMode
from bitat_deploy.training.recipe_sections import StageRecipe
from bitat_deploy.training.stages import Stage
from bitat_deploy.training.stages.stage import Images


class PostTraining(Stage):
    """Activations are calibrated, then weights quantized layer by layer; no step is taken.

    The network as it was before is the reference. ``watch`` is told of each layer. With
    ``release`` weights end as latent ones, for a stage that trains them further.
    """

    title = "post-training"
    network: QuantizedNetwork

    def __init__(
        self, network: QuantizedNetwork, recipe: PostTrainingRecipe, release: bool = False
    ) -> None:
        super().__init__(network, StageRecipe(0, 1))
        self._release = release
        self.watch: Callable[[LayerRecord], None] = lambda record: None
        self._recipe = recipe
        self._records: list[LayerRecord] = []

    def switch(self) -> None:
        """Quantized activations, weights at their levels."""
        self.network.set_activations(binary=True)
        self.network.set_weights(WeightMode.BINARY if self._release else WeightMode.COMMITTED)

    def begin(self, images: Images) -> None:
        """All of it."""

        def note(record: LayerRecord) -> None:
            self._records.append(record)
            self.watch(record)

        self.network.set_weights(WeightMode.FULL)
        reference = copy.deepcopy(self.network)
        if not self._recipe.binary_activations:
            reference.set_activations(binary=False)
            self.network.calibrate(images())
        latents = quantize_layers(reference, self.network, images, self._recipe, note)
        if self._release:
            with torch.no_grad():
                for layer in self.network.binary_layers():
                    layer.weight.copy_(latents[layer.name])

    def finish(self, top1: Callable[[], float | None]) -> dict[str, Any]:
        """The layers' output errors."""
        return {"layers": [asdict(record) for record in self._records]}

    def frozen(self) -> Collection[nn.Module]:
        """All: the statistics are those of the levels. None where they are released."""
        return () if self._release else set(self.network.modules())
