"""A family of networks, as a recipe chooses it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from bitat_deploy.training.recipe_sections import NetworkRecipe, QuantizationRecipe


@dataclass(frozen=True)
class Architecture:
    """What a recipe's ``network`` may say, and the function that builds the body.

    ``entries``: what an entry of ``blocks`` holds; "channels" and "stride" are among it.
    ``chains`` and ``streams``: the names of its kinds of ``block``; the body of a chain reads
    codes from the stem, that of a stream real values. ``body`` takes the stem's channels and gives
    the body of a :class:`~bitat_deploy.training.networks.QuantizedNetwork`, which ends in a binary
    layer; it raises InputError where network and quantization contradict each other.
    """

    entries: tuple[str, ...]
    chains: tuple[str, ...]
    streams: tuple[str, ...]
    body: Callable[[NetworkRecipe, QuantizationRecipe, int], nn.Sequential]
    linear_bottlenecks: bool = False
