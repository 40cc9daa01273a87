"""Quantization after training, without labels."""

from dataclasses import dataclass, field

from bitat_deploy.training.methods.method import Method
from bitat_deploy.training.networks import QuantizedNetwork
from bitat_deploy.training.post_training import PostTraining, PostTrainingRecipe
from bitat_deploy.training.registry import METHODS
from bitat_deploy.training.stages import FineTune, FineTuneRecipe, Stage


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


METHODS.add("post-training", PostTrainingMethod)
