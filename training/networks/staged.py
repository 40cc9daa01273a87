"""What stages of training need of a network, be it ours or a user's."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from bitat_deploy.training.bitat.matrices import ConvolutionMatrices
from bitat_deploy.training.bitat.survey import SurveyedConvolution
from bitat_deploy.training.quantizers import WeightMode


class StagedNetwork(nn.Module, ABC):
    """A network whose binary convolutions can be switched, frozen and committed."""

    @abstractmethod
    def binary_layers(self) -> Iterator[ConvolutionMatrices]:
        """All binary layers, from the bottom to the top."""

    @abstractmethod
    def modules_below(self, layer: ConvolutionMatrices) -> Iterator[nn.Module]:
        """The modules that compute before a binary layer."""

    @abstractmethod
    def survey(self, run: Callable[[], Iterator[Any]]) -> Sequence[SurveyedConvolution]:
        """The binary layers' shapes; ``run`` gives calibration batches to the network."""

    @abstractmethod
    def set_activations(self, binary: bool) -> None:
        """Quantize every activation, or none."""

    def set_weights(self, mode: WeightMode) -> None:
        """Switch every binary layer's weights at once."""
        for layer in self.binary_layers():
            layer.weight_mode = mode

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Set the quantizers' first steps by images [N, C, H, W], where there are any to set."""

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """All parameters for an optimizer."""
        return [{"params": list(self.parameters()), "weight_decay": weight_decay}]
