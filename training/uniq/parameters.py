"""The learned steps among a network's parameters."""

from typing import Any

from torch import nn

from bitat_deploy.training.uniq.modules import Quantizer


def steps(network: nn.Module) -> list[nn.Parameter]:
    """The steps of all of UniQ's quantizers in ``network``."""
    return [part.step for part in network.modules() if isinstance(part, Quantizer)]


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for an optimizer: no step decays [P].

    Raises ValueError for a weight decay where a quantizer has 1 bit [P]: a binary weight's size
    counts for nothing, and to shrink it only makes its sign unstable.
    """
    if weight_decay > 0 and any(
        isinstance(part, Quantizer) and part.bits == 1 for part in network.modules()
    ):
        raise ValueError("UniQ at 1 bit needs weight decay 0")
    learned = steps(network)
    identities = {id(step) for step in learned}
    others = [weight for weight in network.parameters() if id(weight) not in identities]
    return [
        {"params": others, "weight_decay": weight_decay},
        {"params": learned, "weight_decay": 0.0},
    ]
