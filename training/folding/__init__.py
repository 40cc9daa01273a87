"""From trained floats to integers: batch normalisation, activations and scales, folded away."""

from bitat_deploy.training.folding.network import fold_layers
from bitat_deploy.training.folding.thresholds import fold_thresholds

__all__ = ["fold_layers", "fold_thresholds"]
