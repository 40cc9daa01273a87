"""Stages of training: what each quantizes, freezes, trains, and leaves behind."""

from bitat_deploy.training.stages.layerwise import (
    CommitLayer,
    FineTune,
    FineTuneRecipe,
    Progressive,
    ProgressiveRecipe,
)
from bitat_deploy.training.stages.stage import (
    BinaryActivations,
    FullPrecision,
    Quantized,
    Stage,
)

__all__ = [
    "BinaryActivations",
    "CommitLayer",
    "FineTune",
    "FineTuneRecipe",
    "FullPrecision",
    "Progressive",
    "ProgressiveRecipe",
    "Quantized",
    "Stage",
]
