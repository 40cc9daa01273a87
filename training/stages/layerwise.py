"""BiTAT's stages: layer by layer from the bottom, then all together."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from bitat_deploy.training.bitat.block import Block, CommitRecord
from bitat_deploy.training.bitat.dependency import DependencyLoss, Problem
from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.bitat.survey import SurveyedConvolution, blocks_of
from bitat_deploy.training.networks import StagedNetwork
from bitat_deploy.training.quantizers import WeightMode
from bitat_deploy.training.recipe_sections import StageRecipe, check_rates
from bitat_deploy.training.stages.stage import Images, Stage


@dataclass(frozen=True)
class ProgressiveRecipe:
    """BiTAT's layer-by-layer stages.

    depthwise_epochs: of each depthwise layer.
    pointwise_epochs: of each other layer.
    learning_rate: the highest one, in each layer's stage.
    """

    depthwise_epochs: float
    pointwise_epochs: float
    learning_rate: float

    def __post_init__(self) -> None:
        check_rates(self.depthwise_epochs, self.learning_rate, "depthwise_epochs")
        check_rates(self.pointwise_epochs, self.learning_rate, "pointwise_epochs")

    def plan(self, depthwise: bool) -> StageRecipe:
        """The stage of one layer."""
        epochs = self.depthwise_epochs if depthwise else self.pointwise_epochs
        return StageRecipe(epochs, self.learning_rate)


@dataclass(frozen=True)
class FineTuneRecipe(StageRecipe):
    """BiTAT's last, joint stage: batch normalisation (alpha and thresholds with it), the 8-bit
    stem and classifier.

    signs: the committed signs train too, straight-through; no part of BiTAT.
    """

    signs: bool = False


class Progressive:
    """The layers of a network, committed one after the other from the bottom [P].

    What the stages of one run remember together: the block in work, its statistics, and the
    magnitudes that weights had before their commit.
    """

    def __init__(self, network: StagedNetwork, options: BitatOptions) -> None:
        self.network = network
        self.options = options
        self.layers = list(network.binary_layers())
        self.commits: list[CommitRecord] = []
        self._surveyed: dict[str, SurveyedConvolution] = {}
        self._blocks: tuple[tuple[str, ...], ...] = ()
        self._block: Block | None = None
        self._problem: Problem | None = None
        self._loss: DependencyLoss | None = None
        self._magnitudes: list[Tensor] = []

    def blocks(self, images: Images) -> tuple[tuple[str, ...], ...]:
        """Names of the layers of each block, bottom first."""
        if not self._blocks:
            self._surveyed = {entry.name: entry for entry in self.network.survey(self._run(images))}
            layers = {layer.name: layer for layer in self.layers}
            self._blocks = blocks_of(list(self._surveyed.values()), layers, self.options)
        return self._blocks

    def begin(self, index: int, images: Images) -> None:
        """Step a for layer ``index``: statistics on the partly quantized network, V and s."""
        layer = self.layers[index]
        begins = any(block[0] == layer.name for block in self.blocks(images))
        if begins or self._block is None:
            self._block = Block(self.options)
        normalized = self._surveyed[layer.name].normalized
        self._problem = self._block.prepare(layer, normalized, self._run(images))
        if self.options.importance_weight:
            self._loss = self._block.loss(self._problem)

    def parameters(self) -> list[nn.Parameter]:
        """A and theta, of which V and s are made."""
        if self._loss is None or not self.options.trained_basis:
            return []
        return list(self._loss.parameters())

    def loss(self, step: int) -> Tensor | None:
        """lambda times loss (4), None where it is switched off."""
        if self._loss is None:
            return None
        trained = self.options.trained_basis and step % self.options.basis_interval == 0
        return self.options.importance_weight * self._loss(trained)

    def commit(self, index: int) -> CommitRecord:
        """Step c: target, signs, scales; the layer is frozen after it."""
        assert self._block is not None and self._problem is not None
        del self._magnitudes[index:]
        layer = self.layers[index]
        self._magnitudes.append(layer.weight.detach().abs())
        record = self._block.commit(layer.name, self._problem)
        self._problem = self._loss = None
        self.commits.append(record)
        return record

    def release(self) -> None:
        """Let the committed signs change again."""
        for layer, magnitude in zip(self.layers, self._magnitudes, strict=True):
            layer.release(magnitude)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs, as plain values and tensors."""
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
        self._block = Block(self.options)
        count = len(state["block"]["below"])
        self._block.restore(state["block"], self.layers[index - count : index])
        if state["problem"] is not None:
            self._problem = Problem.restored(self.layers[index], state["problem"])
        if state["loss"] is not None and self._problem is not None:
            self._loss = self._block.loss(self._problem)
            self._loss.load_state_dict(state["loss"])

    def _run(self, images: Images) -> Callable[[], Iterator[None]]:
        """Puts the calibration images through the network in evaluation mode."""

        def run() -> Iterator[None]:
            self.network.eval()
            for batch in images():
                self.network(batch)
                yield

        return run


class CommitLayer(Stage):
    """One layer is quantized against the quantized layers below it, and then frozen [P].

    Those above stay in full precision and are fine-tuned.
    """

    title = "progressive"

    def __init__(self, progressive: Progressive, index: int, plan: StageRecipe) -> None:
        self.progressive = progressive
        self._index = index
        self._layer = progressive.layers[index]
        super().__init__(progressive.network, plan, self._layer.name)

    def switch(self) -> None:
        """Committed and frozen below, quantized here, full precision above."""
        self.network.set_activations(binary=True)
        self.network.set_weights(WeightMode.FULL)
        for module in self.network.modules_below(self._layer):
            module.requires_grad_(False)
            module.eval()
        for below in self.progressive.layers[: self._index]:
            below.weight_mode = WeightMode.COMMITTED
        self._layer.weight_mode = WeightMode.BINARY

    def begin(self, images: Images) -> None:
        """Statistics, V and s."""
        self.progressive.begin(self._index, images)

    def parameters(self) -> list[dict[str, Any]]:
        """V and s."""
        basis = self.progressive.parameters()
        factor = self.progressive.options.basis_rate
        return [{"params": basis, "weight_decay": 0.0, "factor": factor}] if basis else []

    def loss(self, step: int) -> Tensor | None:
        """L_dep."""
        return self.progressive.loss(step)

    def finish(self, top1: Callable[[], float | None]) -> dict[str, Any]:
        """Commit the layer."""
        before = top1()
        commit = self.progressive.commit(self._index)
        return {
            "validation_top1_before_commit": before,
            "relative_output_error_before": commit.error_before,
            "relative_output_error_after": commit.error_after,
            "signs_flipped_fraction": commit.flipped,
        }

    def frozen(self) -> Collection[nn.Module]:
        """What is below."""
        return set(self.network.modules_below(self._layer))

    def state(self) -> dict[str, Any]:
        """The layers committed so far, and this one's problem."""
        return self.progressive.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Take up :meth:`state`."""
        self.progressive.restore(self._index, state)


class FineTune(Stage):
    """Batch normalisations (with them alpha and thresholds), stem and classifier train on; the
    signs too where the plan says so, straight-through with alpha = mean|w| [R]."""

    title = "fine-tune"
    plan: FineTuneRecipe

    def __init__(
        self, network: StagedNetwork, plan: FineTuneRecipe, progressive: Progressive | None = None
    ) -> None:
        super().__init__(network, plan)
        self._progressive = progressive

    def switch(self) -> None:
        """Signs are held or quantized anew."""
        self.network.set_activations(binary=True)
        self.network.set_weights(WeightMode.BINARY if self.plan.signs else WeightMode.COMMITTED)
        for layer in self.network.binary_layers():
            layer.weight.requires_grad_(self.plan.signs)

    def begin(self, images: Images) -> None:
        """Release the committed signs, where they train."""
        if self.plan.signs and self._progressive is not None:
            self._progressive.release()

    def finish(self, top1: Callable[[], float | None]) -> dict[str, Any]:
        """Fix the trained signs."""
        if self.plan.signs:
            for layer in self.network.binary_layers():
                layer.conclude()
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """What the layers' stages remembered."""
        if self._progressive is not None:
            self._progressive.restore(len(self._progressive.layers), state)
