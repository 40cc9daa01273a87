"""Binarize a network of your own: ``binarize(model, "bitat", data)``."""

import copy
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.training.bitat.block import Block, CommitRecord
from bitat_deploy.training.bitat.convolution import BinarizedConv2d, ConvolutionMode
from bitat_deploy.training.bitat.dependency import DependencyLoss
from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.bitat.survey import Survey, blocks_of, survey
from bitat_deploy.training.divergence import check_parameters, raise_for_loss
from bitat_deploy.training.objective import task_loss
from bitat_deploy.training.recipe_sections import DistillationRecipe

METHODS = ("bitat", "straight-through")

Data = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class BinarizeSchedule:
    """How long to train, in steps (batches), with Adam and cosine decay in each stage.

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


@dataclass(frozen=True, eq=False)
class Binarized:
    """A binarized copy of a model, in evaluation mode.

    Its 1-bit convolutions are :class:`BinarizedConv2d`, named as in the model; ``left`` are the
    convolutions and linear layers that stayed in full precision. ``blocks`` and ``commits`` are
    BiTAT's, empty for other methods.
    """

    model: nn.Module
    layers: tuple[str, ...]
    left: tuple[str, ...]
    blocks: tuple[tuple[str, ...], ...]
    commits: tuple[CommitRecord, ...]


def binarize(
    model: nn.Module,
    method: str,
    data: Data,
    *,
    options: BitatOptions | None = None,
    schedule: BinarizeSchedule | None = None,
    keep: Collection[str] = (),
    depthwise: bool = True,
    report: Callable[[str], None] = lambda line: None,
) -> Binarized:
    """Train a copy of ``model`` with 1-bit weights and 1-bit inputs in its inner convolutions.

    ``model`` is a trained classifier whose parts with parameters are Conv2d, BatchNorm2d, Linear,
    PReLU, GroupNorm and LayerNorm, in any order of calls, each called once; it is not changed.
    ``data`` gives batches (images [N, C, H, W], labels int64 [N]) and can be iterated again and
    again: a DataLoader or a list. ``method``: "bitat" or "straight-through" (XNOR-Net's scales,
    all layers at once, as many steps). ``keep`` names modules that stay as they are; without
    ``depthwise`` depthwise convolutions do too. ``report`` is told of each stage.

    Raises InputError for a model, option or data it cannot handle, naming each part, and
    TrainingDivergedError where the loss or a weight is not finite any more.
    """
    if method not in METHODS:
        raise InputError(f"unknown method '{method}'; choose one of: {', '.join(METHODS)}")
    options, schedule = options or BitatOptions(), schedule or BinarizeSchedule()
    calibration = _calibration(data, schedule.calibration_batches)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    calibration = [images.to(device) for images in calibration]
    found = survey(model, calibration[0], keep, depthwise)
    run = _Run(model, found, data, calibration, schedule, report)
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        run.train("binary activations", schedule.activation_steps)
        if method == "bitat":
            blocks, commits = run.progressive(options)
        else:
            blocks, commits = (), ()
            run.set_mode(ConvolutionMode.BINARY)
            run.train("straight-through", schedule.layer_steps * len(found.convolutions))
        run.fine_tune(signs=schedule.fine_tune_signs or method != "bitat")
    names = tuple(entry.name for entry in found.convolutions)
    run.network.requires_grad_(True)
    return Binarized(run.network.eval(), names, found.left, blocks, commits)


class _Run:
    """The network being binarized, with its data."""

    def __init__(
        self,
        model: nn.Module,
        found: Survey,
        data: Data,
        calibration: list[Tensor],
        schedule: BinarizeSchedule,
        report: Callable[[str], None],
    ) -> None:
        self._found = found
        self._schedule = schedule
        self._calibration = calibration
        self._report = report
        self._teacher = copy.deepcopy(model).eval() if schedule.distillation else None
        self.network = copy.deepcopy(model).requires_grad_(True)
        self.layers = _replace(self.network, found)
        self._set_thresholds()
        self._batches = _endless(data)

    def set_mode(self, mode: ConvolutionMode) -> None:
        """Switch all binarized convolutions at once."""
        for layer in self.layers.values():
            layer.mode = mode

    def calibrate(self) -> Iterator[None]:
        """Run the calibration images through the network in evaluation mode."""
        self.network.eval()
        for images in self._calibration:
            self.network(images)
            yield

    def train(
        self,
        stage: str,
        steps: int,
        dependency: DependencyLoss | None = None,
        options: BitatOptions | None = None,
    ) -> None:
        """One stage: what requires a gradient trains, with L_dep if given."""
        schedule = self._schedule
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [{"params": parameters, "factor": 1.0}]
        if dependency is not None and options is not None:
            groups.append({"params": list(dependency.parameters()), "factor": options.basis_rate})
        optimizer = torch.optim.Adam(groups, lr=schedule.learning_rate)
        total = 0.0
        for step in range(steps):
            decay = 0.5 * (1 + math.cos(math.pi * step / steps))
            for group in optimizer.param_groups:
                group["lr"] = schedule.learning_rate * decay * group["factor"]
            loss = self._task_loss()
            if dependency is not None and options is not None:
                trained = options.trained_basis and step % options.basis_interval == 0
                loss = loss + options.importance_weight * dependency(trained)
            value = float(loss.detach())
            where = f"stage '{stage}', step {step} of {steps}"
            if not math.isfinite(value):
                raise_for_loss(value, self.network, where)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += value
        check_parameters(self.network, f"stage '{stage}'")
        if steps:
            self._report(f"{stage}: {steps} steps, loss {total / steps:.4f}")

    def progressive(
        self, options: BitatOptions
    ) -> tuple[tuple[tuple[str, ...], ...], tuple[CommitRecord, ...]]:
        """Block by block, layer by layer from the bottom [P]: prepare, train, commit, freeze."""
        normalized = {entry.name: entry.normalized for entry in self._found.convolutions}
        blocks = blocks_of(self._found.convolutions, self.layers, options)
        commits: list[CommitRecord] = []
        for names in blocks:
            block = Block(options, self.calibrate)
            for name in names:
                layer = self.layers[name]
                self.network.train().requires_grad_(True)
                self._freeze_below(name)
                problem = block.prepare(layer, normalized[name])
                loss = None
                if options.importance_weight and self._schedule.layer_steps:
                    loss = block.loss(problem)
                self.network.train()
                self._freeze_below(name)
                layer.mode = ConvolutionMode.BINARY
                self.train(name, self._schedule.layer_steps, loss, options)
                commits.append(block.commit(name, problem))
                self._settle(name)
                done = commits[-1]
                self._report(
                    f"{name}: output error {done.error_before:.3f} -> {done.error_after:.3f}, "
                    f"{done.flipped:.1%} of signs flipped"
                )
        return blocks, tuple(commits)

    def fine_tune(self, signs: bool) -> None:
        """The last, joint stage."""
        self.network.train().requires_grad_(True)
        for layer in self.layers.values():
            layer.weight.requires_grad_(signs)
            if signs and layer.mode is ConvolutionMode.COMMITTED:
                with torch.no_grad():  # latent weights again, small enough for signs to change
                    layer.weight.mul_(layer.alpha)
            layer.mode = ConvolutionMode.BINARY if signs else ConvolutionMode.COMMITTED
        self.train("fine-tune", self._schedule.fine_tune_steps)
        for layer in self.layers.values():
            if signs:  # what is left is alpha and signs, as after a commit
                weight = layer.effective_weight().detach()
                alpha = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
                layer.commit(layer.grouped(weight / alpha).sign(), alpha)
        self._settle(None)

    def _task_loss(self) -> Tensor:
        images, labels = next(self._batches)
        device = self._calibration[0].device
        images, labels = images.to(device), labels.to(device)
        soft = None
        if self._teacher is not None:
            with torch.no_grad():
                soft = self._teacher(images)
        recipe = DistillationRecipe(self._schedule.distillation, self._schedule.temperature)
        return task_loss(self.network(images), labels, soft, recipe)

    def _below(self, name: str) -> tuple[str, ...]:
        return self._found.order[: self._found.order.index(name)]

    def _freeze_below(self, name: str) -> None:
        for entry in self._below(name):
            self.network.get_submodule(entry).requires_grad_(False).eval()

    def _settle(self, name: str | None) -> None:
        """Re-estimate the running statistics of the normalisations above a layer, or of all."""
        below = () if name is None else self._below(name)
        normalizations = [
            module
            for entry, module in self.network.named_modules()
            if isinstance(module, nn.BatchNorm2d)
            and module.track_running_stats
            and entry not in below
        ]
        self.network.eval()
        momenta = [module.momentum for module in normalizations]
        for module in normalizations:
            module.reset_running_stats()
            module.momentum = None  # the plain average over all batches
            module.train()
        with torch.no_grad():
            for images in self._calibration:
                self.network(images)
        for module, momentum in zip(normalizations, momenta, strict=True):
            module.momentum = momentum
            module.eval()

    def _set_thresholds(self) -> None:
        """Thresholds at the mean of each channel's full-precision input, spread at their
        standard deviation: signs are balanced then, whatever activation is in front [R]."""
        sums: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        handles = []
        for name, layer in self.layers.items():
            layer.binary_input = False

            def note(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                values = inputs[0]
                sums[name].append(
                    torch.stack([values.mean(dim=(0, 2, 3)), values.square().mean(dim=(0, 2, 3))])
                )

            handles.append(layer.register_forward_pre_hook(note))
        with torch.no_grad():
            for _ in self.calibrate():
                pass
            for name, layer in self.layers.items():
                mean, square = torch.stack(sums[name]).mean(dim=0)
                layer.threshold.copy_(mean.reshape(layer.threshold.shape))
                layer.spread.copy_((square - mean.square()).mean().clamp(min=1e-8).sqrt())
                layer.binary_input = True
        for handle in handles:
            handle.remove()
        self.network.train()


def _replace(network: nn.Module, found: Survey) -> dict[str, BinarizedConv2d]:
    layers = {}
    for entry in found.convolutions:
        convolution = network.get_submodule(entry.name)
        assert isinstance(convolution, nn.Conv2d)
        layers[entry.name] = BinarizedConv2d(convolution)
        parent, _, last = entry.name.rpartition(".")
        setattr(network.get_submodule(parent), last, layers[entry.name])
    return layers


def _calibration(data: Data, count: int) -> list[Tensor]:
    if isinstance(data, Iterator):
        raise InputError("data can be iterated only once; give a DataLoader or a list of batches")
    images: list[Tensor] = []
    for batch in data:
        if (
            not isinstance(batch, tuple | list)
            or len(batch) != 2
            or not all(isinstance(part, Tensor) for part in batch)
            or batch[0].dim() != 4
            or batch[1].shape != batch[0].shape[:1]
        ):
            raise InputError("data must give pairs of images [N, C, H, W] and labels [N]")
        images.append(batch[0])
        if len(images) == count:
            break
    if not images:
        raise InputError("data gives no batch")
    return images


def _endless(data: Data) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from data
