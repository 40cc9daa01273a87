"""BiTAT (arXiv 2207.01394)."""

from dataclasses import dataclass

from bitat_deploy.errors import InputError
from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.methods.method import BinarizeSchedule, ModelMethod
from bitat_deploy.training.networks import QuantizedNetwork, StagedNetwork
from bitat_deploy.training.recipe_sections import StageRecipe
from bitat_deploy.training.registry import METHODS
from bitat_deploy.training.stages import (
    BinaryActivations,
    CommitLayer,
    FineTune,
    FineTuneRecipe,
    Progressive,
    ProgressiveRecipe,
    Stage,
)


@dataclass(frozen=True)
class Bitat(ModelMethod):
    """Binary activations; layer by layer from the bottom to the top [P]; last a joint stage [R].

    Where the recipe says so, the last stage also lets the committed signs change again: no part
    of BiTAT. ``bitat`` switches the parts of BiTAT.
    """

    text = "BiTAT (arXiv 2207.01394), layer by layer, our reconstruction"
    quantizer = "sign"

    binary_activations: StageRecipe
    progressive: ProgressiveRecipe
    fine_tune: FineTuneRecipe
    bitat: BitatOptions | None = None

    def stages(self, network: QuantizedNetwork) -> list[Stage]:
        """One for each binary layer between the first and the last."""
        layers = list(network.binary_layers())
        wide = next((layer for layer in layers if layer.weight_bits > 1), None)
        if wide is not None:
            raise InputError(
                f"method 'bitat' gives weights 1 bit, or leaves them at 8: not {wide.weight_bits}, "
                f"as quantization.layer_bits has it for '{wide.name}'"
            )
        each = [self.progressive.plan(layer.depthwise) for layer in layers]
        options = self.bitat or BitatOptions()
        return _stages(network, options, self.binary_activations, each, self.fine_tune)

    def description(self) -> str:
        """Says whether signs were trained after their commit."""
        if not self.fine_tune.signs:
            return self.text
        return f"{self.text}; then signs fine-tuned together, straight-through"

    @classmethod
    def model_stages(
        cls, network: StagedNetwork, schedule: BinarizeSchedule, options: BitatOptions
    ) -> list[Stage]:
        """The same stages."""
        each = [schedule.plan(schedule.layer_steps) for layer in network.binary_layers()]
        steps, rate = schedule.fine_tune_steps, schedule.learning_rate
        last = FineTuneRecipe(steps, rate, signs=schedule.fine_tune_signs)
        return _stages(network, options, schedule.plan(schedule.activation_steps), each, last)


def _stages(
    network: StagedNetwork,
    options: BitatOptions,
    first: StageRecipe,
    each: list[StageRecipe],
    last: FineTuneRecipe,
) -> list[Stage]:
    progressive = Progressive(network, options)
    return [
        BinaryActivations(network, first),
        *(CommitLayer(progressive, index, plan) for index, plan in enumerate(each)),
        FineTune(network, last, progressive),
    ]


METHODS.add("bitat", Bitat)
