"""The full-precision twin alone; weights and activations at once, or in two steps."""

from dataclasses import dataclass

from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.methods.method import BinarizeSchedule, Method, ModelMethod
from bitat_deploy.training.networks import QuantizedNetwork, StagedNetwork
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
class FullPrecisionMethod(Method):
    """Nothing follows the twin."""

    text = "full precision"
    quantizes = False
    exports = False


@dataclass(frozen=True)
class QuantizedActivations(Method):
    """Activations alone: the network that ``bitat-deploy quantize`` takes for few bits of them."""

    text = "quantized activations, weights in full precision"
    exports = False

    activations: StageRecipe

    def stages(self, network: QuantizedNetwork) -> list[Stage]:
        """All layers together."""
        return [BinaryActivations(network, self.activations)]


@dataclass(frozen=True)
class StraightThrough(ModelMethod):
    """XNOR-Net's scales (arXiv 1603.05279)."""

    text = "straight-through sign, scales mean|w| (XNOR-Net, arXiv 1603.05279)"
    quantizer = "sign"

    quantized: StageRecipe

    def stages(self, network: QuantizedNetwork) -> list[Stage]:
        """All layers together."""
        return [Quantized(network, self.quantized)]

    @classmethod
    def model_stages(
        cls, network: StagedNetwork, schedule: BinarizeSchedule, options: BitatOptions
    ) -> list[Stage]:
        """As many steps as BiTAT takes."""
        steps = schedule.layer_steps * len(list(network.binary_layers()))
        last = FineTuneRecipe(schedule.fine_tune_steps, schedule.learning_rate, signs=True)
        return [
            BinaryActivations(network, schedule.plan(schedule.activation_steps)),
            Quantized(network, schedule.plan(steps), "straight-through"),
            FineTune(network, last),
        ]


@dataclass(frozen=True)
class Uniq(Method):
    """Learned steps; the first ones come from calibration images."""

    text = "UniQ, learned steps (arXiv 2104.00210)"
    quantizer = "uniq"

    quantized: StageRecipe

    def stages(self, network: QuantizedNetwork) -> list[Stage]:
        """All layers together."""
        return [Quantized(network, self.quantized)]


@dataclass(frozen=True)
class ReActNet(Method):
    """Two-step training (ReActNet, ECCV 2020, section 5)."""

    text = "two steps, activations first (ReActNet, arXiv 2003.03488)"
    quantizer = "sign"

    binary_activations: StageRecipe
    quantized: StageRecipe

    def stages(self, network: QuantizedNetwork) -> list[Stage]:
        """Activations, then weights too."""
        return [
            BinaryActivations(network, self.binary_activations),
            Quantized(network, self.quantized),
        ]


METHODS.add("full-precision", FullPrecisionMethod)
METHODS.add("quantized-activations", QuantizedActivations)
METHODS.add("straight-through", StraightThrough)
METHODS.add("uniq", Uniq)
METHODS.add("reactnet", ReActNet)
