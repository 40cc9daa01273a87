"""A network to train, whatever its blocks, and its switches."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.training.bitat.survey import SurveyedConvolution
from bitat_deploy.training.networks.layers import (
    BinaryLayer,
    Classifier,
    NormalizedLayer,
    QuantizedStem,
)
from bitat_deploy.training.networks.staged import StagedNetwork
from bitat_deploy.training.quantizers import Activation, WeightMode
from bitat_deploy.training.uniq import ActivationQuantizer, calibrate


class QuantizedNetwork(StagedNetwork):
    """Stem, body, classifier. ``input_shape`` is (height, width, channels).

    ``body`` is made of :class:`BinaryLayer`, :class:`EightBitLayer`, :class:`StreamBlock` and
    :class:`Activation` in nested nn.Sequential, in the order in which they compute.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        stem: QuantizedStem,
        body: nn.Sequential,
        classifier: Classifier,
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        self.stem = stem
        self.body = body
        self.classifier = classifier

    def forward(self, image: Tensor) -> Tensor:
        """Images [N, C, H, W] in [0, 1] to logits [N, classes]."""
        logits: Tensor = self.classifier(self.body(self.stem(image)))
        return logits

    def binary_layers(self) -> Iterator[BinaryLayer]:
        """All binary layers, from the bottom to the top."""
        return (part for part in self.modules() if isinstance(part, BinaryLayer))

    def normalized_layers(self) -> Iterator[NormalizedLayer]:
        """All layers with a batch normalisation, from the bottom (the stem) to the top."""
        return (part for part in self.modules() if isinstance(part, NormalizedLayer))

    def set_activations(self, binary: bool) -> None:
        """Quantize every activation, or none."""
        for part in self.modules():
            if isinstance(part, Activation):
                part.quantized = binary

    def modules_below(self, layer: nn.Module) -> Iterator[nn.Module]:
        """Networks register their modules from the bottom up."""
        holders = {module for module in self.modules() if layer in set(module.modules())}
        for module in self.modules():
            if module is layer:
                return
            if module not in holders:
                yield module

    def survey(self, run: Callable[[], Iterator[Any]]) -> list[SurveyedConvolution]:
        """From one calibration batch."""
        found: list[SurveyedConvolution] = []

        def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            shapes = (tuple(inputs[0].shape), tuple(output.shape))
            found.append(SurveyedConvolution(str(layer.name), *shapes, normalized=True))

        handles = [layer.register_forward_hook(note) for layer in self.binary_layers()]
        with torch.no_grad():
            next(run())
        for handle in handles:
            handle.remove()
        return found

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Set the first steps of learned quantizers; does nothing where there are none.

        The weights' steps follow from the weights. The activations' follow from ``batches``
        [N, C, H, W] in [0, 1], of which the first 100 are taken, in the full-precision twin. Modes
        are left as they were. Raises ValueError where there is no batch.
        """
        layers = list(self.binary_layers())
        for layer in layers:
            layer.quantizer.initialize(layer.weight)
        if not any(isinstance(part, ActivationQuantizer) for part in self.modules()):
            return
        modes = [layer.weight_mode for layer in layers]
        for layer in layers:
            layer.weight_mode = WeightMode.FULL
        try:
            calibrate(self, batches)
        finally:
            for layer, mode in zip(layers, modes, strict=True):
                layer.weight_mode = mode

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """All parameters for an optimizer: those that decay, and those that do not.

        Decay is for the weights of convolutions and classifier. Quantizers' steps, batch
        normalisation, biases, thresholds and RPReLU have none, nor have weights that are 1 bit
        now: their size counts for nothing.
        """
        binary = {
            id(layer.weight)
            for layer in self.binary_layers()
            if layer.weight_bits == 1 and layer.weight_mode is not WeightMode.FULL
        }
        kept: list[nn.Parameter] = []
        decaying: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            is_weight = name.endswith(".weight") and parameter.dim() > 1
            decays = is_weight and id(parameter) not in binary
            (decaying if decays else kept).append(parameter)
        return [
            {"params": decaying, "weight_decay": weight_decay},
            {"params": kept, "weight_decay": 0.0},
        ]

    def load_twin(self, state: dict[str, Tensor], classifier: bool = True) -> None:
        """Take over the parameters of a full-precision run: all but the quantizers'.

        ``state`` is the state_dict of a network of the same shape, whose numbers of bits may
        differ; without ``classifier`` its classifier may too, and is left out. Weights' steps are
        set anew; the activations' await :meth:`calibrate`. Raises InputError where it is another
        network.
        """

        def shared(values: dict[str, Tensor]) -> dict[str, Tensor]:
            left_out = () if classifier else ("classifier.",)
            return {
                key: value
                for key, value in values.items()
                if ".quantizer." not in key and not key.startswith(left_out)
            }

        taken, own = shared(state), shared(self.state_dict())
        if {key: value.shape for key, value in taken.items()} != {
            key: value.shape for key, value in own.items()
        }:
            raise InputError("the full-precision checkpoint is of another network")
        self.load_state_dict(taken, strict=False)
        for layer in self.binary_layers():
            layer.quantizer.initialize(layer.weight)
