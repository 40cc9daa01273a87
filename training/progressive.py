"""BiTAT's layer-by-layer stage on one of our networks."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bitat_deploy.training.bitat.block import Block, CommitRecord
from bitat_deploy.training.bitat.dependency import DependencyLoss, Problem
from bitat_deploy.training.bitat.matrices import ConvolutionMatrices
from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.bitat.survey import SurveyedConvolution, blocks_of
from bitat_deploy.training.networks import BinaryLayer, QuantizedNetwork, WeightMode
from bitat_deploy.training.quantizers import binary_sign


class NetworkConvolution(ConvolutionMatrices):
    """The convolution of a :class:`BinaryLayer`, whose committed weight is alpha times signs."""

    def __init__(self, layer: BinaryLayer) -> None:
        self.layer = layer
        self.weight = layer.weight
        self.groups = layer.groups
        self.stride = (layer.stride, layer.stride)
        self.dilation = (1, 1)

    @property
    def module(self) -> nn.Module:
        """The layer with its normalisation and activation."""
        return self.layer

    def operand(self, inputs: Tensor) -> Tensor:
        """The layer's inputs are signs already."""
        return inputs

    def padded(self, operand: Tensor) -> Tensor:
        """Padded with +1."""
        return self.layer.padded(operand)

    def effective_weight(self) -> Tensor:
        """As the layer's."""
        return self.layer.effective_weight()

    def commit(self, signs: Tensor, alpha: Tensor) -> None:
        """Replace the latent weight by alpha times signs."""
        with torch.no_grad():
            self.weight.copy_(self.ungrouped(alpha * signs))
        self.layer.weight_mode = WeightMode.COMMITTED


class Progressive:
    """The layers of a network, committed one after the other from the bottom [P].

    ``run`` puts the calibration images through the network in evaluation mode, one batch for each
    step of the iterator it gives. :meth:`state` is all that a resumed run needs.
    """

    def __init__(
        self, network: QuantizedNetwork, options: BitatOptions, run: Callable[[], Iterator[None]]
    ) -> None:
        self._options = options
        self._run = run
        self._layers = [NetworkConvolution(layer) for layer in network.binary_layers()]
        self._blocks: tuple[tuple[str, ...], ...] | None = None
        self._block: Block | None = None
        self._problem: Problem | None = None
        self._loss: DependencyLoss | None = None
        self._magnitudes: list[Tensor] = []

    def begin(self, index: int) -> None:
        """Step a for layer ``index``: statistics on the partly quantized network, V and s."""
        if self._members(index)[0] == self._layers[index].layer.name or self._block is None:
            self._block = Block(self._options, self._run)
        self._problem = self._block.prepare(self._layers[index], normalized=True)
        if self._options.importance_weight:
            self._loss = self._block.loss(self._problem)

    def parameters(self) -> list[nn.Parameter]:
        """A and theta, of which V and s are made."""
        if self._loss is None or not self._options.trained_basis:
            return []
        return list(self._loss.parameters())

    def loss(self, step: int) -> Tensor | None:
        """lambda times loss (4), None where it is switched off."""
        if self._loss is None:
            return None
        trained = self._options.trained_basis and step % self._options.basis_interval == 0
        return self._options.importance_weight * self._loss(trained)

    def commit(self, index: int) -> CommitRecord:
        """Step c: target, signs, scales; the layer is frozen after it."""
        assert self._block is not None and self._problem is not None
        del self._magnitudes[index:]
        self._magnitudes.append(self._layers[index].weight.detach().abs())
        record = self._block.commit(self._layers[index].layer.name, self._problem)
        self._problem = self._loss = None
        return record

    def release(self, state: dict[str, Any]) -> None:
        """Let the committed signs change again: ``state`` is that after the last commit.

        Each weight takes up the magnitude it was trained to before its commit, so that those that
        were near a change of sign still are; alpha as magnitude would hold all of them equally.
        """
        for convolution, magnitude in zip(self._layers, state["magnitudes"], strict=True):
            with torch.no_grad():
                convolution.weight.copy_(binary_sign(convolution.weight) * magnitude)

    def state(self) -> dict[str, Any]:
        """What it remembers, as plain values and tensors."""
        return {
            "magnitudes": list(self._magnitudes),
            "block": None if self._block is None else self._block.state(),
            "problem": None if self._problem is None else self._problem.state(),
            "loss": None if self._loss is None else self._loss.state_dict(),
        }

    def restore(self, index: int, state: dict[str, Any]) -> None:
        """Take up :meth:`state`, of before or within the stage of layer ``index``."""
        self._magnitudes = list(state["magnitudes"])
        if state["block"] is None:
            return
        self._block = Block(self._options, self._run)
        count = len(state["block"]["below"])
        self._block.restore(state["block"], self._layers[index - count : index])
        if state["problem"] is not None:
            self._problem = Problem.restored(self._layers[index], state["problem"])
        if state["loss"] is not None and self._problem is not None:
            self._loss = self._block.loss(self._problem)
            self._loss.load_state_dict(state["loss"])

    def _members(self, index: int) -> tuple[str, ...]:
        if self._blocks is None:
            self._blocks = blocks_of(
                self._survey(), {c.layer.name: c for c in self._layers}, self._options
            )
        name = self._layers[index].layer.name
        return next(block for block in self._blocks if name in block)

    def _survey(self) -> list[SurveyedConvolution]:
        """Shapes of inputs and outputs, from one calibration batch."""
        found: list[SurveyedConvolution] = []
        handles = []
        for convolution in self._layers:

            def note(
                module: nn.Module,
                inputs: tuple[Tensor, ...],
                output: Tensor,
                name: str = convolution.layer.name,
            ) -> None:
                found.append(
                    SurveyedConvolution(name, tuple(inputs[0].shape), tuple(output.shape), True)
                )

            handles.append(convolution.module.register_forward_hook(note))
        with torch.no_grad():
            next(iter(self._run()))
        for handle in handles:
            handle.remove()
        return found
