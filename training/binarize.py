"""Binarize a network of your own: ``binarize(model, "bitat", data)``."""

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.network import IntegerNetwork, Preprocessing
from bitat_deploy.plain_text import as_file_name
from bitat_deploy.training.bitat.block import CommitRecord
from bitat_deploy.training.bitat.convolution import BinarizedConv2d
from bitat_deploy.training.bitat.matrices import ConvolutionMatrices
from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.bitat.survey import Survey, SurveyedConvolution, survey
from bitat_deploy.training.loop import StageRun
from bitat_deploy.training.methods import BinarizeSchedule, ModelMethod
from bitat_deploy.training.networks import StagedNetwork
from bitat_deploy.training.normalization import reestimate_normalization
from bitat_deploy.training.own_network import (
    IMAGE,
    BinarizedModel,
    BlackBorderConv2d,
    PositiveScales,
    black_of,
    check_pixels,
    compared_normalizations,
    graph_of,
    trace_model,
)
from bitat_deploy.training.progress import describe_commit
from bitat_deploy.training.recipe_sections import DistillationRecipe, OptimizerRecipe
from bitat_deploy.training.registry import METHODS
from bitat_deploy.training.stages import CommitLayer, Stage

__all__ = ["BinarizeSchedule", "Binarized", "binarize"]

Data = Iterable[tuple[Tensor, Tensor]]
_PIXELS = Preprocessing(scale=1 / 255)


@dataclass(frozen=True, eq=False)
class Binarized:
    """A binarized copy of a model, in evaluation mode.

    Its 1-bit convolutions are :class:`BinarizedConv2d`, named as in the model; ``left`` are the
    convolutions and linear layers that stayed in full precision. ``blocks`` and ``commits`` are
    BiTAT's, empty for other methods. ``exported`` is what :meth:`save` writes, None where it was
    not asked for.
    """

    model: nn.Module
    layers: tuple[str, ...]
    left: tuple[str, ...]
    blocks: tuple[tuple[str, ...], ...]
    commits: tuple[CommitRecord, ...]
    exported: BinarizedModel | None = None

    def integer_network(self) -> IntegerNetwork:
        """What the device computes, layer by layer. Raises InputError with ``exports=False``."""
        return self._exported().integer_network()

    def save(self, path: Path | str) -> None:
        """Write the file, NAME.pt, that ``bitat-deploy export`` and ``build`` take.

        It holds no code: neither the model's class nor its file is needed to read it.
        """
        path = Path(path)
        replace(self._exported(), name=as_file_name(path.stem)).save(path)

    def _exported(self) -> BinarizedModel:
        if self.exported is None:
            raise InputError("the model was binarized with exports=False; leave that out")
        return self.exported


def binarize(
    model: nn.Module,
    method: str,
    data: Data,
    *,
    options: BitatOptions | None = None,
    schedule: BinarizeSchedule | None = None,
    keep: Collection[str] = (),
    depthwise: bool = True,
    preprocessing: Preprocessing = _PIXELS,
    class_names: Sequence[str] = (),
    exports: bool = True,
    report: Callable[[str], None] = lambda line: None,
) -> Binarized:
    """Train a copy of ``model`` with 1-bit weights and 1-bit inputs in its inner convolutions.

    ``model`` is a trained classifier whose parts with parameters are Conv2d, BatchNorm2d, Linear,
    PReLU, GroupNorm and LayerNorm, in any order of calls, each called once; it is not changed.
    ``data`` gives batches (images [N, C, H, W], labels int64 [N]) and can be iterated again and
    again: a DataLoader or a list. ``method``: "bitat" or "straight-through" (XNOR-Net's scales,
    all layers at once, as many steps). ``keep`` names modules that stay as they are; without
    ``depthwise`` depthwise convolutions do too. ``report`` is told of each stage.

    The result is for the device: ``preprocessing`` says how pictures become the numbers in
    ``data``, by default pixel / 255, and is recorded, like ``class_names``. The first convolution
    then pads with black, as the device does, and convolutions that stay get 8 bits. With
    ``exports=False`` any of the models above are trained, whether or not the device can run them.

    Raises InputError for a model, option or data it cannot handle, naming each part, before the
    training begins, and TrainingDivergedError where the loss or a weight is no longer finite.
    """
    names = [name for name in METHODS if issubclass(METHODS[name], ModelMethod)]
    if method not in names:
        raise InputError(f"unknown method '{method}'; choose one of: {', '.join(names)}")
    options, schedule = options or BitatOptions(), schedule or BinarizeSchedule()
    calibration = _calibration(data, schedule.calibration_batches)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    calibration = [images.to(device) for images in calibration]
    network = _UsersNetwork(model, survey(model, calibration[0], keep, depthwise))
    network.set_thresholds(calibration)
    if exports:
        check_pixels(calibration, preprocessing)
        network.prepare_export(calibration[0], preprocessing)
        _exported(network, calibration[:1], preprocessing, class_names, "").integer_network()
    kind = cast(type[ModelMethod], METHODS[method])
    stages = kind.model_stages(network, schedule, options)
    teacher = copy.deepcopy(model).eval() if schedule.distillation else None
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        _train(network, stages, _endless(data, device), calibration, schedule, teacher, report)
    layers = [stage for stage in stages if isinstance(stage, CommitLayer)]
    progressive = layers[0].progressive if layers else None
    network.requires_grad_(True)
    exported = None
    if exports:
        text = METHODS[method].text
        exported = _exported(network, calibration, preprocessing, class_names, text)
    return Binarized(
        network.model.eval(),
        tuple(layer.name for layer in network.binary_layers()),
        network.found.left,
        () if progressive is None else progressive.blocks(lambda: iter(calibration)),
        () if progressive is None else tuple(progressive.commits),
        exported,
    )


def _exported(
    network: "_UsersNetwork",
    calibration: list[Tensor],
    preprocessing: Preprocessing,
    class_names: Sequence[str],
    description: str,
) -> BinarizedModel:
    operations = trace_model(network.model.eval(), calibration)
    _, channels, height, width = calibration[0].shape
    graph = graph_of(operations, (height, width, channels), preprocessing)
    classes = operations[-1].shape[0]
    names = tuple(class_names) or tuple(f"class {number}" for number in range(classes))
    if len(names) != classes:
        raise InputError(f"class_names has {len(names)} names, the model {classes} logits")
    return BinarizedModel("model", graph, names, preprocessing, description)


def _train(
    network: "_UsersNetwork",
    stages: list[Stage],
    batches: Iterator[tuple[Tensor, Tensor]],
    calibration: list[Tensor],
    schedule: BinarizeSchedule,
    teacher: nn.Module | None,
    report: Callable[[str], None],
) -> None:
    """Go through all stages; an epoch has one step."""
    distillation = DistillationRecipe(schedule.distillation, schedule.temperature)
    optimizer = OptimizerRecipe()
    for stage in stages:
        run = StageRun(
            stage, lambda: iter(calibration), 1, optimizer, distillation, teacher=teacher
        )
        total = 0.0
        for step in range(run.steps):
            images, labels = next(batches)
            total += run.step(step, images, labels)
        if run.steps:
            report(f"{stage.name}: {run.steps} steps, loss {total / run.steps:.4f}")
        done = stage.finish(lambda: None)
        if done:
            reestimate_normalization(network, stage.frozen(), calibration)
            report(f"{stage.name}: {describe_commit(done)}")
    reestimate_normalization(network, (), calibration)


class _UsersNetwork(StagedNetwork):
    """A copy of a user's model whose inner convolutions are binarized ones."""

    def __init__(self, model: nn.Module, found: Survey) -> None:
        super().__init__()
        self.found = found
        self.model = copy.deepcopy(model).requires_grad_(True)
        self._layers: list[BinarizedConv2d] = []
        for entry in found.convolutions:
            convolution = self.model.get_submodule(entry.name)
            assert isinstance(convolution, nn.Conv2d)
            self._layers.append(BinarizedConv2d(convolution, entry.name))
            parent, _, last = entry.name.rpartition(".")
            setattr(self.model.get_submodule(parent), last, self._layers[-1])

    def prepare_export(self, images: Tensor, preprocessing: Preprocessing) -> None:
        """Change what the device computes otherwise, so that it is trained that way.

        Raises UnsupportedOperatorError naming a module that it does not have.
        """
        operations = trace_model(self.model.eval(), [images])
        black = black_of(preprocessing, images.shape[1])
        modules = dict(self.model.named_modules())
        for operation in operations:
            module = modules.get(operation.name)
            if operation.inputs[0] == IMAGE and type(module) is nn.Conv2d:
                parent, _, last = operation.name.rpartition(".")
                setattr(modules[parent], last, BlackBorderConv2d(module, black))
        compared = [modules.get(name) for name in compared_normalizations(operations)]
        found = [module for module in compared if isinstance(module, nn.BatchNorm2d)]
        self.positive_scales = PositiveScales(found)
        self.positive_scales.constrain()

    def forward(self, images: Tensor) -> Tensor:
        """As the model's."""
        logits: Tensor = self.model(images)
        return logits

    def binary_layers(self) -> Iterator[BinarizedConv2d]:
        """The binarized convolutions, in the order of their calls."""
        return iter(self._layers)

    def modules_below(self, layer: ConvolutionMatrices) -> Iterator[nn.Module]:
        """Those with parameters that are called before it."""
        below = self.found.order[: self.found.order.index(layer.name)]
        return (self.model.get_submodule(name) for name in below)

    def survey(self, run: Callable[[], Iterator[Any]]) -> Sequence[SurveyedConvolution]:
        """Was made before the convolutions were replaced."""
        return self.found.convolutions

    def set_activations(self, binary: bool) -> None:
        """Binary inputs, or the model's own."""
        for layer in self._layers:
            layer.binary_input = binary

    @torch.no_grad()
    def set_thresholds(self, calibration: list[Tensor]) -> None:
        """Thresholds at the mean of each channel's full-precision input, spread at their
        standard deviation: signs are balanced then, whatever activation is in front [R]."""
        sums: dict[nn.Module, list[Tensor]] = {layer: [] for layer in self._layers}

        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            moments = [values.mean(dim=(0, 2, 3)) for values in (inputs[0], inputs[0].square())]
            sums[module].append(torch.stack(moments))

        handles = [layer.register_forward_pre_hook(note) for layer in self._layers]
        self.set_activations(binary=False)
        self.eval()
        for images in calibration:
            self(images)
        for handle in handles:
            handle.remove()
        for layer in self._layers:
            mean, square = torch.stack(sums[layer]).mean(dim=0)
            layer.threshold.copy_(mean.reshape(layer.threshold.shape))
            layer.spread.copy_((square - mean.square()).mean().clamp(min=1e-8).sqrt())


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


def _endless(data: Data, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        for images, labels in data:
            yield images.to(device), labels.to(device)
