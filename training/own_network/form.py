"""The affine map and the activation behind an operation, as one form."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.training.own_network.graph import IMAGE, Operation

Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Affine:
    """gain (x - centre) + offset, each [C]; ``centre`` is where x is on average, if known."""

    gain: Reals
    centre: Reals
    offset: Reals

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return bool((self.gain == 1).all() and (self.offset == self.centre).all())

    @property
    def slope_and_intercept(self) -> tuple[Reals, Reals]:
        """As slope x + intercept."""
        return self.gain, self.offset - self.gain * self.centre

    def normalized(self, operation: Operation) -> "Affine":
        """With a batch normalisation behind it."""
        names = ("gamma", "beta", "mean", "deviation")
        gamma, beta, mean, deviation = (operation.array(name) for name in names)
        if (self.gain == 1).all():  # the first one: its mean is where the sums are on average
            return Affine(gamma / deviation, mean - (self.offset - self.centre), beta)
        factor = gamma / deviation
        return Affine(factor * self.gain, self.centre, factor * (self.offset - mean) + beta)

    def moved(self, offset: Reals) -> "Affine":
        """Of x + offset."""
        return Affine(self.gain, self.centre - offset, self.offset)

    def before(self, wanted: Reals) -> tuple[Reals, NDArray[np.bool_]]:
        """The x [C] where it reaches ``wanted``, and the channels where it falls.

        Of a gain of 0 it is an infinity: always or never.
        """
        flat = self.gain == 0
        x = self.centre + (wanted - self.offset) / np.where(flat, 1.0, self.gain)
        x = np.where(flat, np.where(self.offset >= wanted, -np.inf, np.inf), x)
        return x, self.gain < 0

    def as_normalization(self) -> nn.BatchNorm2d:
        """As the module that the folding of our own networks takes; in float64, exactly."""
        module = nn.BatchNorm2d(len(self.gain), eps=0.0).double()
        assert module.running_mean is not None and module.running_var is not None
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(self.gain))
            module.bias.copy_(torch.from_numpy(self.offset))
            module.running_mean.copy_(torch.from_numpy(self.centre))
            module.running_var.fill_(1)
        return module


def affine_of_bias(bias: Reals) -> Affine:
    """x + bias."""
    return Affine(np.ones(len(bias)), np.zeros(len(bias)), bias)


def identity(channels: int) -> Affine:
    """What changes nothing."""
    return affine_of_bias(np.zeros(channels))


@dataclass(frozen=True, eq=False)
class Form:
    """An operation's value as activation(affine(value of ``anchor``)).

    ``anchor`` is an operation that is neither a normalization nor an activation, or one of these
    that already has an activation in front; of a convolution the affine map is of its sums,
    without bias. ``between`` are the names of the operations from the anchor to the value, both
    included.
    """

    anchor: Operation
    affine: Affine
    activation: Operation | None
    between: tuple[str, ...]

    @property
    def on_sums(self) -> bool:
        """Whether the anchor is a convolution."""
        return self.anchor.kind in ("binary", "convolution")


def form_of(name: str, operations: dict[str, Operation]) -> Form | None:
    """The form of an operation's value; None for the image."""
    if name == IMAGE:
        return None
    operation = operations[name]
    if operation.kind in ("binary", "convolution"):
        return Form(operation, affine_of_bias(operation.array("bias")), None, (name,))
    alone = Form(operation, identity(operation.channels), None, (name,))
    if operation.kind not in ("normalization", "activation"):
        return alone
    inner = form_of(operation.inputs[0], operations)
    if inner is None:
        return None
    if inner.activation is not None:
        below = operations[operation.inputs[0]]
        inner = Form(below, identity(below.channels), None, (below.name,))
    between = (*inner.between, name)
    if operation.kind == "activation":
        return Form(inner.anchor, inner.affine, operation, between)
    return Form(inner.anchor, inner.affine.normalized(operation), None, between)


def threshold_below(
    wanted: Reals, way: tuple[str, str], reader: str, operations: dict[str, Operation]
) -> Reals:
    """What the value of the second of ``way`` has to reach for the first's to reach ``wanted`` [C].

    Raises UnsupportedOperatorError where an operation between them falls in some channel.
    """
    name, place = way
    while name != place:
        operation = operations[name]
        falls = not rises(operation)
        if operation.kind == "activation":
            wanted = operation.crossings(wanted)
        else:
            wanted, falling = identity(operation.channels).normalized(operation).before(wanted)
            falls = bool(falling.any())
        if falls:
            raise UnsupportedOperatorError(
                f"'{name}' has channels that fall where its input rises, and there is no "
                f"convolution between '{place}' and '{reader}', which reads its signs; the "
                "device compares such values in one direction only"
            )
        name = operation.inputs[0]
    return wanted


def piecewise(activation: Operation | None) -> tuple[Any, float, float]:
    """slope [C] of negative values (None where it changes nothing), least and greatest value."""
    if activation is None:
        return None, -np.inf, np.inf
    slope = activation.array("slope")
    limits = activation.values["low"], activation.values["high"]
    return (None if (slope == 1).all() else slope), *limits


def rises(activation: Operation | None) -> bool:
    """Whether its output never falls where its input rises."""
    slope = piecewise(activation)[0] if activation and activation.kind == "activation" else None
    return slope is None or bool((slope >= 0).all())
