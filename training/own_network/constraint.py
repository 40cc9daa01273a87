"""What training has to keep true of a user's network so that it can be exported."""

from collections.abc import Sequence

from torch import nn

from bitat_deploy.training.own_network.graph import IMAGE, Operation
from bitat_deploy.training.quantizers import Constrained

_SMALLEST_GAMMA = 1e-3


def compared_normalizations(operations: Sequence[Operation]) -> tuple[str, ...]:
    """Names of the batch normalisations whose output's signs are taken, without a convolution
    below: the device compares what they read, so their scale must be positive."""
    by_name = {operation.name: operation for operation in operations}
    found: dict[str, None] = {}
    for operation in operations:
        if operation.kind != "binary":
            continue
        name = operation.inputs[0]
        while name != IMAGE and by_name[name].kind in ("normalization", "activation", "max_pool"):
            below = by_name[name].inputs[0]
            on_sums = below != IMAGE and by_name[below].kind in ("binary", "convolution")
            if by_name[name].kind == "normalization" and not on_sums:
                found[name] = None
            name = below
    return tuple(found)


class PositiveScales(nn.Module, Constrained):
    """Keeps the gammas of ``normalizations`` positive; it computes nothing."""

    def __init__(self, normalizations: Sequence[nn.BatchNorm2d]) -> None:
        super().__init__()
        self._normalizations = tuple(normalizations)  # not registered: they have owners already

    def constrain(self) -> None:
        """Called after each step, without gradient."""
        for module in self._normalizations:
            if module.weight is not None:
                module.weight.data.clamp_(min=_SMALLEST_GAMMA)
