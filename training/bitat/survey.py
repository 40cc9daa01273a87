"""Finding out what a user's network is made of, in the order in which it computes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.training.bitat.matrices import ConvolutionMatrices
from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.bitat.statistics import alignment

_KNOWN = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.PReLU, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class SurveyedConvolution:
    """A convolution to be binarized, with the shapes [N, C, H, W] it met on the sample.

    ``normalized``: its output goes straight into a batch normalisation.
    """

    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    normalized: bool


@dataclass(frozen=True)
class Survey:
    """What is to be binarized, bottom first; what stays; all modules with parameters as called."""

    convolutions: tuple[SurveyedConvolution, ...]
    left: tuple[str, ...]
    order: tuple[str, ...]


@dataclass
class _Call:
    name: str
    module: nn.Module
    inputs: Any
    output: Any


def survey(model: nn.Module, images: Tensor, keep: Collection[str], depthwise: bool) -> Survey:
    """Run ``images`` [N, C, H, W] through the model and look at what is called.

    The first convolution and the last layer stay as they are, and so do the modules named in
    ``keep`` and, unless ``depthwise``, convolutions with one channel for each group. Raises
    InputError naming each part that cannot be handled.
    """
    modules = dict(model.named_modules())
    unknown = sorted(name for name in keep if name not in modules)
    if unknown:
        raise InputError(f"keep names no module of the model: {', '.join(unknown)}")

    def kept(name: str) -> bool:
        return any(name == entry or name.startswith(f"{entry}.") for entry in keep)

    calls = _trace(model, images)
    layers = [call for call in calls if isinstance(call.module, nn.Conv2d | nn.Linear)]
    first = next((call.name for call in layers if isinstance(call.module, nn.Conv2d)), None)
    last = layers[-1].name if layers else None
    complaints: list[str] = []
    chosen: list[SurveyedConvolution] = []
    left: list[str] = []
    called = [call.name for call in calls]
    owners: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owner = name.rpartition(".")[0]
        if owners.setdefault(id(parameter), owner) != owner and not kept(owner):
            complaints.append(f"'{owner}' shares '{name}' with '{owners[id(parameter)]}'")
    for name, module in modules.items():
        if kept(name) or not list(module.parameters(recurse=False)):
            continue
        if type(module) not in _KNOWN:
            complaints.append(f"'{name or 'the model itself'}' is a {type(module).__name__}")
        elif name not in called:
            complaints.append(f"'{name}' is not called in the forward pass")
    for call in calls:
        name, module = call.name, call.module
        if not isinstance(module, nn.Conv2d) or kept(name) or name in (first, last):
            if isinstance(module, nn.Conv2d | nn.Linear):
                left.append(name)
            continue
        if called.count(name) > 1:
            complaints.append(f"'{name}' is called more than once")
        elif module.padding_mode != "zeros":
            complaints.append(f"'{name}' pads with {module.padding_mode!r} instead of zeros")
        elif not isinstance(module._parameters.get("weight"), nn.Parameter):
            complaints.append(f"'{name}' computes its weight (pruning or weight normalisation)")
        elif not depthwise and module.groups > 1 and module.groups == module.in_channels:
            left.append(name)
        else:
            normalized = any(
                isinstance(other.module, nn.BatchNorm2d) and other.inputs is call.output
                for other in calls
            )
            chosen.append(
                SurveyedConvolution(
                    name, tuple(call.inputs.shape), tuple(call.output.shape), normalized
                )
            )
    if complaints:
        raise InputError(
            "cannot binarize this model: "
            + "; ".join(dict.fromkeys(complaints))
            + "; name what shall stay in full precision in keep"
        )
    if not chosen:
        raise InputError(
            "the model has no inner convolution to binarize; the first one and the last layer stay"
        )
    return Survey(tuple(chosen), tuple(dict.fromkeys(left)), tuple(dict.fromkeys(called)))


def blocks_of(
    convolutions: Sequence[SurveyedConvolution],
    layers: Mapping[str, ConvolutionMatrices],
    options: BitatOptions,
) -> tuple[tuple[str, ...], ...]:
    """Divide the convolutions into blocks of consecutive layers, bottom first.

    A block ends after ``options.block_layers``, where a layer's output does not have the shape of
    the next one's input (pooling, another branch), and where positions do not correspond.
    """
    blocks: list[list[SurveyedConvolution]] = []
    for entry in convolutions:
        block = blocks[-1] if blocks else []
        if block and len(block) < options.block_layers and _continues(block, entry, layers):
            block.append(entry)
        else:
            blocks.append([entry])
    return tuple(tuple(entry.name for entry in block) for block in blocks)


def _continues(
    block: list[SurveyedConvolution],
    entry: SurveyedConvolution,
    layers: Mapping[str, ConvolutionMatrices],
) -> bool:
    if block[-1].output_shape != entry.input_shape:
        return False
    chain = [*block[1:], entry]
    if any(layers[other.name].strides[0] != layers[other.name].strides[1] for other in chain):
        return False
    for index, lower in enumerate(block):
        step = alignment([layers[other.name] for other in chain[index:]])
        pairs = zip(lower.output_shape[2:], entry.output_shape[2:], strict=True)
        if any(-(-below // step) != own for below, own in pairs):
            return False
    return True


def _trace(model: nn.Module, images: Tensor) -> list[_Call]:
    calls: list[_Call] = []
    handles = []
    for name, module in model.named_modules():
        if list(module.parameters(recurse=False)) and name:

            def note(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
                calls.append(_Call(name, module, inputs[0] if inputs else None, output))

            handles.append(module.register_forward_hook(note))
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    return calls
