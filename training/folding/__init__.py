"""From trained floats to integers: batch normalisation, activations and scales, folded away."""

from bitat_deploy.training.folding.affine import fold_affine
from bitat_deploy.training.folding.classifier import fold_classifier
from bitat_deploy.training.folding.network import fold_layers
from bitat_deploy.training.folding.requantize import fold_requantize, fold_slope
from bitat_deploy.training.folding.source import CodeSource, Source, StreamSource
from bitat_deploy.training.folding.thresholds import fold_thresholds, stream_thresholds
from bitat_deploy.training.folding.weights import FoldedWeight, weight_of_levels

__all__ = [
    "CodeSource",
    "FoldedWeight",
    "Source",
    "StreamSource",
    "fold_affine",
    "fold_classifier",
    "fold_layers",
    "fold_requantize",
    "fold_slope",
    "fold_thresholds",
    "stream_thresholds",
    "weight_of_levels",
]
