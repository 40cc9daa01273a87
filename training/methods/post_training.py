"""BiTAT on a trained network: without labels, or as the beginning of training."""

from dataclasses import dataclass, field, replace

from bitat_deploy.training.methods.method import Method
from bitat_deploy.training.networks import QuantizedNetwork
from bitat_deploy.training.post_training import PostTraining, PostTrainingRecipe
from bitat_deploy.training.recipe_sections import StageRecipe
from bitat_deploy.training.registry import METHODS
from bitat_deploy.training.stages import (
    BinaryActivations,
    FineTune,
    FineTuneRecipe,
    Quantized,
    Stage,
)


@dataclass(frozen=True)
class PostTrainingMethod(Method):
    """BiTAT's quantization of a trained network, on images alone: stream target and descent [R].

    Then, where the recipe says so, batch normalisations, stem and classifier train;
    ``distillation.weight`` 1 needs no labels for it. ``bitat-deploy quantize`` runs it on a
    checkpoint.
    """

    text = "quantized after training, layer by layer"

    post_training: PostTrainingRecipe = field(default_factory=PostTrainingRecipe)
    fine_tune: FineTuneRecipe | None = None

    def stages(self, network: QuantizedNetwork) -> list[Stage]:
        """One or two."""
        first: list[Stage] = [PostTraining(network, self.post_training)]
        return first if self.fine_tune is None else [*first, FineTune(network, self.fine_tune)]

    def description(self) -> str:
        """With the kind of target and rounding."""
        recipe = self.post_training
        target = "BiTAT's stream target, our reconstruction" if recipe.target == "stream" else ""
        what = ", ".join(filter(None, (target, f"rounding: {recipe.rounding}")))
        tuned = "" if self.fine_tune is None else "; then all but the levels trained"
        return f"{self.text} ({what}){tuned}"


@dataclass(frozen=True)
class BitatStart(Method):
    """BiTAT as the beginning of training [R]: activations first; stream target and descent.

    Then all train together, straight-through, from latent weights that say how sure the descent
    was of each level.
    """

    text = (
        "activations first, weights by BiTAT's stream target and descent (our reconstruction), "
        "then trained together, straight-through"
    )

    binary_activations: StageRecipe
    quantized: StageRecipe
    post_training: PostTrainingRecipe = field(default_factory=PostTrainingRecipe)

    def stages(self, network: QuantizedNetwork) -> list[Stage]:
        """Three, of which the second takes no step. Raises InputError for shared steps."""
        for layer in network.binary_layers():
            layer.quantizer.check_holds()
        levels = replace(self.post_training, binary_activations=True)
        return [
            BinaryActivations(network, self.binary_activations),
            PostTraining(network, levels, release=True),
            Quantized(network, self.quantized, calibrated=True),
        ]


METHODS.add("post-training", PostTrainingMethod)
METHODS.add("bitat-start", BitatStart)
