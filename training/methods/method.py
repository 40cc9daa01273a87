"""Base of the methods: stages, and the sections of a recipe that configure them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from bitat_deploy.errors import InputError
from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.networks import QuantizedNetwork, StagedNetwork
from bitat_deploy.training.recipe_sections import StageRecipe
from bitat_deploy.training.stages import Stage


@dataclass(frozen=True)
class BinarizeSchedule:
    """How long ``binarize`` trains, in steps (batches), with Adam and cosine decay in each stage.

    activation_steps: warm-up with 1-bit activations and full-precision weights.
    layer_steps: for each layer; "straight-through" trains all layers together for as many.
    fine_tune_steps: the joint stage at the end: alpha, batch normalisation, thresholds, what
        stays in full precision, and the signs only where ``fine_tune_signs``.
    basis_rate and the other parts of BiTAT are in :class:`BitatOptions`.
    calibration_batches: batches from the start of the data, for statistics and normalisation.
    distillation: weight of the soft cross-entropy to the given model, at ``temperature``.
    """

    activation_steps: int = 500
    layer_steps: int = 100
    fine_tune_steps: int = 500
    learning_rate: float = 1e-3
    calibration_batches: int = 8
    fine_tune_signs: bool = False
    distillation: float = 0.0
    temperature: float = 2.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("activation_steps", "layer_steps", "fine_tune_steps"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative, not {getattr(self, name)}")
        if self.calibration_batches < 1:
            raise InputError("calibration_batches must be at least 1")
        if not 0 < self.learning_rate <= 1:
            raise InputError("learning_rate must be above 0, at most 1")
        if not 0 <= self.distillation <= 1 or self.temperature <= 0:
            raise InputError("distillation must be between 0 and 1, temperature positive")

    def plan(self, steps: int) -> StageRecipe:
        """A stage of that many steps; an epoch is one step."""
        return StageRecipe(steps, self.learning_rate)


@dataclass(frozen=True)
class Method:
    """A method of training; its fields are the sections that its recipes have, in order.

    ``text`` describes it in a network's metadata. ``quantizer`` is the one it needs, None for any.
    ``quantizes``: False where it gives full-precision networks. ``exports``: its networks have
    quantized weights and activations.
    """

    text: ClassVar[str]
    quantizer: ClassVar[str | None] = None
    quantizes: ClassVar[bool] = True
    exports: ClassVar[bool] = True

    def stages(self, network: QuantizedNetwork) -> list[Stage]:
        """The stages after the full-precision twin. Those of no epochs count: they may commit."""
        return []

    def description(self) -> str:
        """:attr:`text`, with what the sections add."""
        return self.text


class ModelMethod(Method, ABC):
    """A method that ``binarize`` has, too, for networks of the user's."""

    @classmethod
    @abstractmethod
    def model_stages(
        cls, network: StagedNetwork, schedule: BinarizeSchedule, options: BitatOptions
    ) -> list[Stage]:
        """Its stages on a trained network in full precision."""
