"""The parameters of torchvision's MobileNetV2, or of the zoo's networks, in a network of ours."""

import torch
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.network import Convolution
from bitat_deploy.onnx_format import read_network
from bitat_deploy.training.networks import CodeLayer, QuantizedNetwork, QuantizedStem
from bitat_deploy.zoo import resolve_model

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of pixels in [0, 1]
_STATISTICS = ("weight", "bias", "running_mean", "running_var")


def is_torchvision(state: object) -> bool:
    """Whether a loaded file is a state_dict of torchvision's MobileNetV2."""
    return isinstance(state, dict) and "features.0.0.weight" in state and "format" not in state


@torch.no_grad()
def load_torchvision(state: dict[str, Tensor], network: QuantizedNetwork) -> tuple[int, int]:
    """Take over the parameters of layers whose shapes agree; of how many layers, of how many.

    The network takes pixels in [0, 1]: torchvision's normalisation of them goes into the stem and
    its batch normalisation, but for the border, which is black here and of the mean colour there.
    Batch normalisations of streams, which torchvision's network has not, stay as they are. Raises
    InputError where no layer but the stem agrees.
    """
    layers: list[QuantizedStem | CodeLayer] = [network.stem]
    layers += [layer for layer in network.modules() if isinstance(layer, CodeLayer)]
    taken = [layer for layer in layers if _load_layer(state, layer, _names(state, layer))]
    if not any(layer is not network.stem for layer in taken):
        raise InputError(
            "no layer of torchvision's MobileNetV2 fits the network: it needs architecture "
            "mobilenet-v2, width 1.0 and its channels"
        )
    if network.stem in taken:
        _take_pixels(network.stem.weight, network.stem.normalization)
    weight, bias = (state.get(f"classifier.1.{name}") for name in ("weight", "bias"))
    own = network.classifier
    if weight is not None and bias is not None and weight.shape == own.weight.shape:
        own.weight.copy_(weight)
        own.bias.copy_(bias)
    for layer in network.binary_layers():
        layer.quantizer.initialize(layer.weight)
    return len(taken), len(layers)


@torch.no_grad()
def load_zoo(name: str, network: QuantizedNetwork) -> tuple[int, int]:
    """Take over the weights of the zoo's network; of how many layers, of how many.

    They are levels, which get the size that a new layer's weights have. Batch normalisations and
    the classifier stay as they are: training adapts them in its first steps. Raises InputError
    where no layer but the stem agrees.
    """
    weights = {
        layer.name: torch.from_numpy(layer.weight.astype("float32")).permute(0, 3, 1, 2)
        for layer in read_network(resolve_model(name)).layers
        if isinstance(layer, Convolution)
    }
    layers: list[tuple[str, QuantizedStem | CodeLayer]] = [("stem", network.stem)]
    layers += [(layer.name, layer) for layer in network.modules() if isinstance(layer, CodeLayer)]
    taken = []
    for called, layer in layers:
        levels = weights.get(called)
        if levels is None or levels.shape != layer.weight.shape:
            continue
        size = layer.weight.square().mean().sqrt() / levels.square().mean().sqrt().clamp(min=1e-6)
        layer.weight.copy_(levels * size)
        taken.append(called)
    if not set(taken) - {"stem"}:
        raise InputError(
            f"no layer of the zoo's '{name}' fits the network: it needs the same architecture, "
            "width and blocks"
        )
    for layer in network.binary_layers():
        layer.quantizer.initialize(layer.weight)
    return len(taken), len(layers)


def _names(state: dict[str, Tensor], layer: QuantizedStem | CodeLayer) -> tuple[str, str]:
    """The names of a layer's convolution and batch normalisation there."""
    if isinstance(layer, QuantizedStem):
        return "features.0.0", "features.0.1"
    block, _, role = layer.name.partition(".")
    if block == "head":
        last = max(int(name.split(".")[1]) for name in state if name.startswith("features."))
        return f"features.{last}.0", f"features.{last}.1"
    start = f"features.{int(block.removeprefix('block')) + 1}.conv"
    expands = f"{start}.1.0.weight" in state
    if role == "project":
        number = 2 if expands else 1
        return f"{start}.{number}", f"{start}.{number + 1}"
    number = 1 if expands and role == "depthwise" else 0
    return f"{start}.{number}.0", f"{start}.{number}.1"


def _load_layer(
    state: dict[str, Tensor], layer: QuantizedStem | CodeLayer, names: tuple[str, str]
) -> bool:
    """Copy weights and batch normalisation where all shapes agree; whether they do."""
    convolution, normalization = names
    pairs: list[tuple[Tensor, str]] = [(layer.weight, f"{convolution}.weight")]
    pairs += [(getattr(layer.normalization, key), f"{normalization}.{key}") for key in _STATISTICS]
    if any(name not in state or state[name].shape != own.shape for own, name in pairs):
        return False
    for own, name in pairs:
        own.copy_(state[name])
    return True


def _take_pixels(weight: Tensor, normalization: nn.BatchNorm2d) -> None:
    """From (pixel - mean) / deviation to pixels: w x' = (w / d) x - sum(w m / d)."""
    assert normalization.running_mean is not None
    mean, deviation = (weight.new_tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
    weight.div_(deviation)
    normalization.running_mean.add_((weight * mean).sum(dim=(1, 2, 3)))
