"""A stage: one stretch of training with its own optimizer; those that treat all layers alike."""

from collections.abc import Callable, Collection, Iterator
from typing import Any, ClassVar

from torch import Tensor, nn

from bitat_deploy.training.networks import StagedNetwork
from bitat_deploy.training.quantizers import WeightMode
from bitat_deploy.training.recipe_sections import StageRecipe

Images = Callable[[], Iterator[Tensor]]


class Stage:
    """What the training loop asks of a stage, in this order.

    1. :meth:`restore` what :meth:`state` gave in a checkpoint, of this stage or the one before.
    2. :meth:`configure`, :meth:`begin` (not where steps were done already), and again
       :meth:`configure`.
    3. At each step the network's parameters that require a gradient train, and those of
       :meth:`parameters`, on the task's loss and :meth:`loss`. After each evaluation in between
       comes :meth:`configure`.
    4. :meth:`finish`; then batch normalisations are re-estimated, but for :meth:`frozen` ones.

    ``title`` names the kind of stage in messages and reports, ``name`` the stage itself.
    ``teaches``: a run's own teacher is the network as this stage leaves it.
    """

    title: ClassVar[str]
    teaches: ClassVar[bool] = False

    def __init__(self, network: StagedNetwork, plan: StageRecipe, name: str | None = None) -> None:
        self.network = network
        self.plan = plan
        self.name = name or self.title

    def steps(self, steps_per_epoch: int) -> int:
        """How many steps it takes; may be 0."""
        return round(self.plan.epochs * steps_per_epoch)

    def configure(self) -> None:
        """Set what is quantized and frozen, and put the rest into training mode."""
        self.network.requires_grad_(True)
        self.network.train()
        self.switch()

    def switch(self) -> None:
        """Set what is quantized and frozen; everything trains so far."""
        raise NotImplementedError

    def begin(self, images: Images) -> None:
        """Prepare the network before the first step; ``images()`` are the calibration batches,
        float32 [N, C, H, W] in [0, 1]."""

    def parameters(self) -> list[dict[str, Any]]:
        """Groups of parameters besides the network's, for the optimizer: "params", and "factor",
        their learning rate over the stage's."""
        return []

    def loss(self, step: int) -> Tensor | None:
        """What is added to the task's loss, a scalar."""
        return None

    def finish(self, top1: Callable[[], float | None]) -> dict[str, Any]:
        """Leave the network as the next stage expects it; returns plain values for the report.

        ``top1`` evaluates the network as it is on the validation images.
        """
        return {}

    def frozen(self) -> Collection[nn.Module]:
        """The modules whose statistics stay as they are."""
        return ()

    def state(self) -> dict[str, Any] | None:
        """What a resumed run needs besides the network and the optimizer; plain values, tensors."""
        return None

    def restore(self, state: dict[str, Any]) -> None:
        """Take up :meth:`state`."""


class FullPrecision(Stage):
    """Nothing is quantized: trains the full-precision twin."""

    title = "full precision"
    teaches = True

    def switch(self) -> None:
        """All in full precision."""
        self.network.set_activations(binary=False)
        self.network.set_weights(WeightMode.FULL)


class BinaryActivations(Stage):
    """Activations are quantized, weights are not."""

    title = "binary activations"

    def switch(self) -> None:
        """Weights in full precision."""
        self.network.set_activations(binary=True)
        self.network.set_weights(WeightMode.FULL)

    def begin(self, images: Images) -> None:
        """Set the quantizers' first steps."""
        self.network.calibrate(images())


class Quantized(Stage):
    """Weights and activations are quantized; gradients pass straight through.

    ``calibrated``: a stage before has set the quantizers' steps.
    """

    title = "quantized"

    def __init__(
        self,
        network: StagedNetwork,
        plan: StageRecipe,
        name: str | None = None,
        calibrated: bool = False,
    ) -> None:
        super().__init__(network, plan, name)
        self._calibrated = calibrated

    def switch(self) -> None:
        """All quantized."""
        self.network.set_activations(binary=True)
        self.network.set_weights(WeightMode.BINARY)

    def begin(self, images: Images) -> None:
        """Set the quantizers' first steps, where they are not set."""
        if not self._calibrated:
            self.network.calibrate(images())
