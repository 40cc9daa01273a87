"""Networks to train: floating-point modules that can become a packed integer chain."""

from bitat_deploy.training.networks.layers import (
    BinaryLayer,
    Classifier,
    NormalizedLayer,
    QuantizedStem,
    WeightMode,
)
from bitat_deploy.training.networks.mobilenet import (
    BinaryMobileNet,
    MobileNetShape,
    build_network,
)

__all__ = [
    "BinaryLayer",
    "BinaryMobileNet",
    "Classifier",
    "MobileNetShape",
    "NormalizedLayer",
    "QuantizedStem",
    "WeightMode",
    "build_network",
]
