"""What a user's network computes, as plain records: neither its code nor its classes are needed.

Tensors between operations are real, [N, C, H, W] or, behind the global average, [N, C].
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

IMAGE = "image"  # the input of an operation that reads the network's input
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Operation:
    """One step. ``kind`` says what ``values`` (plain ones) and ``tensors`` it has:

    binary: convolution of signs; those of convolution, and the tensor threshold [C] of the input's
        signs. The weight is of two values for each filter.
    convolution: stride, padding, dilation, groups; weight [O, C / groups, height, width], bias [O].
    normalization: gamma, beta, mean, deviation [C], float64.
    activation: low and high, to which it clips, behind slope [C], the factor of negative inputs.
    add: two inputs.
    max_pool: kernel, stride, padding.
    average_pool: the mean of 2x2 with stride 2, of a last odd row or column with itself.
    global_average, and dense: weight [classes, C], bias [classes].

    ``name`` is the module's, or made from the call; ``shape`` is the output's, without batch.
    ``peak`` is the largest magnitude of the output on the calibration images.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: Shape
    values: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    peak: float = 0.0

    @property
    def channels(self) -> int:
        """Of the output."""
        return self.shape[0]

    def array(self, name: str) -> Any:
        """One of the tensors, float64."""
        return self.tensors[name].detach().cpu().double().numpy()

    def crossings(self, wanted: Any) -> Any:
        """Of an activation: the least input [C] whose output is at least ``wanted`` [C]."""
        low, high = self.values["low"], self.values["high"]
        slope = self.array("slope")
        with np.errstate(divide="ignore", invalid="ignore"):
            below = np.where(slope > 0, wanted / slope, -np.inf)
        inner = np.where(wanted > 0, wanted, np.where(slope > 0, below, -np.inf))
        return np.where(wanted <= low, -np.inf, np.where(wanted > high, np.inf, inner))


@dataclass(frozen=True, eq=False)
class ModelGraph:
    """Operations, each after those that it reads; the last one gives the logits.

    ``input_shape`` is (height, width, channels) of the images. A pixel, 0 to 255, reaches the
    network as (pixel * scale - mean) / std, with ``mean`` and ``std`` [channels].
    """

    operations: tuple[Operation, ...]
    input_shape: tuple[int, int, int]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
