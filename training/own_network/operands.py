"""What a convolution multiplies: a user's weights as integers, and what they stand for."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bitat_deploy.network import IMAGE_WEIGHT_BITS
from bitat_deploy.training.folding import CodeSource, FoldedWeight, weight_of_levels
from bitat_deploy.training.own_network.form import Reals
from bitat_deploy.training.own_network.graph import IMAGE, ModelGraph, Operation

_PIXELS = CodeSource(IMAGE, 1.0, IMAGE_WEIGHT_BITS, signed=False)


@dataclass(frozen=True, eq=False)
class Operands:
    """Weights on the layer ``input``; the real sums are unit * sum + ``offset`` [out]."""

    input: str
    weight: FoldedWeight
    offset: Reals
    padding_level: int
    weight_bits: int


def sign_operands(operation: Operation, source: CodeSource) -> Operands:
    """Weights of two values for each filter, on signs."""
    weight = operation.tensors["weight"].double()
    unit = weight.abs().amax(dim=(1, 2, 3)).clamp(min=1e-12).numpy()
    levels = torch.where(weight >= 0, 1, -1).numpy()
    folded = weight_of_levels(levels, unit, source.bottom, source.top)
    padding_level = int(operation.values["padding"] > 0)
    return Operands(source.name, folded, np.zeros(len(unit)), padding_level, 1)


def byte_operands(operation: Operation, source: CodeSource) -> Operands:
    """Weights in 8 bits, with a step for each filter, on bytes."""
    weight = operation.tensors["weight"].double()
    return _in_bytes(weight, source, np.zeros(len(weight)))


def image_operands(operation: Operation, graph: ModelGraph) -> Operands:
    """Weights in 8 bits on the pixels, with what is done to these before the network."""
    weight = operation.tensors["weight"].double()
    channels = _channels_read(operation)
    scale = torch.tensor([graph.scale / std for std in graph.std])
    mean = torch.tensor([m / std for m, std in zip(graph.mean, graph.std, strict=True)])
    offset = -(weight * mean[channels][:, :, None, None]).sum(dim=(1, 2, 3)).numpy()
    return _in_bytes(weight * scale[channels][:, :, None, None], _PIXELS, offset)


def _in_bytes(weight: Tensor, source: CodeSource, offset: Reals) -> Operands:
    step = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12) / 127
    levels = torch.round(weight / step).to(torch.int64).numpy()
    unit = step.flatten().numpy() * source.unit
    folded = weight_of_levels(levels, unit, source.bottom, source.top)
    return Operands(source.name, folded, offset, 0, IMAGE_WEIGHT_BITS)


def _channels_read(operation: Operation) -> Tensor:
    """The input channels that each filter's weights meet, int64 [out, in / groups]."""
    filters, count = operation.tensors["weight"].shape[:2]
    group = torch.arange(filters) // (filters // operation.values["groups"])
    return group[:, None] * count + torch.arange(count)
