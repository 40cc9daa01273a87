"""Stages that treat all layers alike."""

from bitat_deploy.training.quantizers import WeightMode
from bitat_deploy.training.stages.stage import Images, Stage


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


class Quantized(Stage):
    """Weights and activations are quantized; gradients pass straight through."""

    title = "quantized"

    def switch(self) -> None:
        """All quantized."""
        self.network.set_activations(binary=True)
        self.network.set_weights(WeightMode.BINARY)

    def begin(self, images: Images) -> None:
        """Set the quantizers' first steps."""
        self.network.calibrate(images())
