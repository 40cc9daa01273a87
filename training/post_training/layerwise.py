"""Quantizes a network's weights layer by layer, from the bottom, on unlabelled images [R]."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.training.native import scale_and_shift
from bitat_deploy.training.networks import (
    BinaryLayer,
    EightBitLayer,
    QuantizedNetwork,
    StreamBlock,
    StreamRange,
)
from bitat_deploy.training.normalization import reestimate_normalization
from bitat_deploy.training.post_training.stream_target import (
    Moments,
    MomentSums,
    ridge_of,
    stream_target,
)
from bitat_deploy.training.quantizers import Activation
from bitat_deploy.training.rounding import ROUNDINGS, Rounded, latent_weights

TARGETS = ("stream", "weights")
GAMMAS = ("auto", "fit", "keep")
_PIXELS = 2**17  # of the images that pass together: bounds the memory
_LARGEST_BATCH = 100
_NO_RIDGE = 1e-6  # where the target are the weights


@dataclass(frozen=True)
class PostTrainingRecipe:
    """How weights are quantized without training.

    rounding: how levels are chosen: "descent", "gptq", "adaround" or "nearest".
    target: what is rounded: the "stream" target, or the "weights" as they are.
    ridge: rho of the stream target's regression, relative to the mean of H's diagonal.
    prior: the regression is drawn to the trained weights, not to 0.
    gamma: batch normalisations "keep" the reference's, or "fit" it to what the layer should give
        by least squares; "auto" keeps it for weights of one bit, whose outputs fitting makes too
        small.
    positions: how many of each image's are looked at, drawn at random.
    binary_activations: the network before had quantized activations already.
    """

    rounding: str = "descent"
    target: str = "stream"
    ridge: float = 0.1
    prior: bool = True
    gamma: str = "auto"
    positions: int = 64
    binary_activations: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (
            ("rounding", tuple(ROUNDINGS)),
            ("target", TARGETS),
            ("gamma", GAMMAS),
        ):
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name} must be one of {', '.join(allowed)}, not '{getattr(self, name)}'"
                )
        if not self.ridge >= 0:
            raise InputError("ridge must not be negative")
        if self.positions < 1:
            raise InputError("positions must be positive")

    def fits(self, bits: int) -> bool:
        """Whether gamma is fitted for weights of so many bits."""
        return self.gamma == "fit" or (self.gamma == "auto" and bits > 1)


@dataclass(frozen=True)
class LayerRecord:
    """A quantized layer: the part of its outputs' variance in which it misses the reference."""

    name: str
    relative_output_error: float


@torch.no_grad()
def quantize_layers(
    reference: QuantizedNetwork,
    network: QuantizedNetwork,
    images: Callable[[], Iterable[Tensor]],
    recipe: PostTrainingRecipe,
    watch: Callable[[LayerRecord], None] = lambda record: None,
) -> dict[str, Tensor]:
    """Fix the weights of ``network``'s binary layers at levels, each after those below it.

    ``network`` begins with the parameters of ``reference`` and quantized activations; both compute
    with real weights. ``images()`` gives batches [N, C, H, W] in [0, 1]. Batch normalisations get
    the statistics that the levels give, and the mean of what the layer should give. Leaves both
    networks in evaluation mode. ``watch`` is told of each layer. Gives each layer's latent weights
    (:func:`~bitat_deploy.training.rounding.latent_weights`) by its name, for training to go on.
    """
    reference.eval()
    network.eval()
    pairs = layer_pairs(reference, network)
    latents: dict[str, Tensor] = {}
    for part in network.modules():  # from the bottom to the top
        if isinstance(part, Activation):
            _renew_statistics(network, part, images)
        elif isinstance(part, BinaryLayer):
            error, latents[part.name] = _quantize(pairs[part.name], images, recipe)
            watch(LayerRecord(part.name, error))
        elif isinstance(part, EightBitLayer):
            others = set(network.modules()) - {part.normalization}
            reestimate_normalization(network, others, small_batches(images()))
    _watch_streams(network, images)
    return latents


def layer_pairs(reference: QuantizedNetwork, network: QuantizedNetwork) -> "dict[str, LayerPair]":
    """The binary layers of ``network`` with those of ``reference``, by their names."""
    twins = dict(zip(network.modules(), reference.modules(), strict=True))
    blocks = {
        layer: part
        for part in network.modules()
        if isinstance(part, StreamBlock)
        for layer in part.layers
    }
    pairs: dict[str, LayerPair] = {}
    for layer in network.binary_layers():
        twin = twins[layer]
        assert isinstance(twin, BinaryLayer)
        pairs[layer.name] = LayerPair(network, reference, layer, twin, blocks.get(layer), twins)
    return pairs


@dataclass(frozen=True, eq=False)
class LayerPair:
    """A layer of the network and its twin in the reference, each with its block."""

    network: QuantizedNetwork
    reference: QuantizedNetwork
    layer: BinaryLayer
    twin: BinaryLayer
    block: StreamBlock | None
    twins: dict[nn.Module, nn.Module]

    def wanted(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's inputs on the quantized network, and what it should give, [N, C, H, W].

        That is what the reference's normalisation gives; at the end of a block with a shortcut,
        the reference's stream less what is carried past the layer.
        """
        parts = [self.layer] if self.block is None else [self.block, self.layer]
        arriving = _arriving(self.network, parts, images)
        at_twins = _arriving(self.reference, [self.twins[part] for part in parts], images)
        scale, shift = scale_and_shift(self.twin.normalization)
        sums = self.twin.sums(at_twins[-1])
        wanted = sums * scale[:, None, None] + shift[:, None, None]
        if self.block is not None and self.layer is self.block.layers[-1] and self.block.shortcut:
            channels = wanted.shape[1]
            wanted = wanted + self.block.carried(at_twins[0], channels)
            wanted = wanted - self.block.carried(arriving[0], channels)
        return arriving[-1], wanted


class _ArrivedError(Exception):
    """What follows need not be computed."""


def _arriving(
    network: QuantizedNetwork, parts: Sequence[nn.Module], images: Tensor
) -> list[Tensor]:
    """The inputs of each of ``parts``, which compute in this order."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        kept.append(inputs[0])
        if module is parts[-1]:
            raise _ArrivedError

    handles = [part.register_forward_pre_hook(keep) for part in parts]
    try:
        network(images)
    except _ArrivedError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return kept


def _quantize(
    pair: LayerPair, images: Callable[[], Iterable[Tensor]], recipe: PostTrainingRecipe
) -> tuple[float, Tensor]:
    """One layer; its relative output error and its latent weights."""
    layer = pair.layer
    problem = layer_problem(pair, images, recipe)
    rounded = ROUNDINGS[recipe.rounding](problem.metric, problem.target, layer.weight_bits)
    layer.commit(rounded.levels, rounded.alpha)
    latent = latent_weights(problem.metric, problem.target, rounded, layer.weight_bits)
    error = set_normalization(layer, problem.moments, rounded, recipe.fits(layer.weight_bits))
    return error, layer.ungrouped(latent).to(layer.weight.dtype)


@dataclass(frozen=True, eq=False)
class LayerProblem:
    """What a layer's levels are chosen for: ``target`` T and ``metric`` H of
    :mod:`~bitat_deploy.training.rounding`, and the moments that they are made of."""

    moments: Moments
    target: Tensor
    metric: Tensor


def layer_problem(
    pair: LayerPair, images: Callable[[], Iterable[Tensor]], recipe: PostTrainingRecipe
) -> LayerProblem:
    """The problem of a layer whose inputs are those of the network as it is now."""
    moments = _moments(pair, images, recipe.positions)
    scale, _ = scale_and_shift(pair.twin.normalization)
    weight = pair.layer.grouped(pair.twin.weight * scale[:, None, None, None]).double()
    if recipe.target == "weights":
        return LayerProblem(moments, weight, ridge_of(moments.covariance, _NO_RIDGE))
    target = stream_target(moments, weight, recipe.ridge, recipe.prior)
    return LayerProblem(moments, target, ridge_of(moments.covariance, recipe.ridge))


def _moments(pair: LayerPair, images: Callable[[], Iterable[Tensor]], positions: int) -> Moments:
    sums = MomentSums()
    generator = torch.Generator().manual_seed(0)
    groups = pair.layer.groups
    for batch in small_batches(images()):
        inputs, wanted = pair.wanted(batch)
        rows = wanted.permute(0, 2, 3, 1).reshape(-1, wanted.shape[1])
        columns = pair.layer.columns(pair.layer.operand(inputs))
        chosen = torch.randperm(len(rows), generator=generator)[: positions * len(batch)]
        x, y = (
            values[chosen].reshape(len(chosen), groups, -1).transpose(0, 1)
            for values in (columns, rows)
        )
        sums.add(x, y)
    return sums.read()


def set_normalization(layer: BinaryLayer, moments: Moments, rounded: Rounded, fit: bool) -> float:
    """Set the layer's normalisation; its relative output error with the gamma that fits best."""
    weight, normalization = rounded.weight(), layer.normalization
    assert normalization.running_mean is not None and normalization.running_var is not None
    mean = (weight * moments.inputs.unsqueeze(2)).sum(dim=1)
    variance = (weight * (moments.covariance @ weight)).sum(dim=1).clamp(min=0)
    covariance = (weight * moments.cross).sum(dim=1)
    lively = variance > 1e-12 * variance.max()  # else the inputs of all its weights never vary
    slope = torch.where(lively, covariance / variance, 0)
    deviation = torch.sqrt(variance + normalization.eps)
    normalization.running_mean.copy_(mean.reshape(-1))
    normalization.running_var.copy_(variance.reshape(-1))
    normalization.bias.copy_(moments.outputs.reshape(-1))
    gamma = (slope * deviation).reshape(-1)
    normalization.weight.copy_(gamma if fit else normalization.weight.abs())
    total = float(moments.variance.sum())
    return 1 - float((slope * covariance).sum()) / total if total > 0 else 0.0


def _renew_statistics(
    network: QuantizedNetwork, activation: Activation, images: Callable[[], Iterable[Tensor]]
) -> None:
    """Those of a normalisation in front of a quantizer: the stream that it reads has changed."""
    normalization = activation.normalization
    if normalization is None:
        return
    sums = MomentSums()
    for batch in small_batches(images()):
        (stream,) = _arriving(network, [activation], batch)
        channels = stream.transpose(0, 1).flatten(1).unsqueeze(2)  # [C, positions, 1]
        sums.add(channels, channels)
    moments = sums.read()
    assert normalization.running_mean is not None and normalization.running_var is not None
    normalization.running_mean.copy_(moments.outputs[:, 0])
    normalization.running_var.copy_(moments.variance[:, 0].clamp(min=0))


def _watch_streams(network: QuantizedNetwork, images: Callable[[], Iterable[Tensor]]) -> None:
    """Let the streams' ranges follow: export derives their fixed point from them."""
    ranges = [part for part in network.modules() if isinstance(part, StreamRange)]
    for part in ranges:
        part.train()
    for batch in small_batches(images() if ranges else ()):
        network(batch)
    network.eval()


def small_batches(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same images in batches that fit the memory."""
    for batch in batches:
        size = max(1, min(_LARGEST_BATCH, _PIXELS // (batch.shape[2] * batch.shape[3])))
        yield from batch.split(size)
