"""Networks to train: floating-point modules that can become an integer network."""

from bitat_deploy.training.networks.activations import (
    Activation,
    SignActivation,
    UniqActivation,
)
from bitat_deploy.training.networks.build import build_network
from bitat_deploy.training.networks.layers import (
    BinaryLayer,
    Classifier,
    EightBitDepthwise,
    NormalizedLayer,
    QuantizedStem,
    WeightMode,
)
from bitat_deploy.training.networks.network import QuantizedNetwork
from bitat_deploy.training.networks.stream import RPReLU, StreamBlock
from bitat_deploy.training.networks.stream_range import StreamRange

__all__ = [
    "Activation",
    "BinaryLayer",
    "Classifier",
    "EightBitDepthwise",
    "NormalizedLayer",
    "QuantizedNetwork",
    "QuantizedStem",
    "RPReLU",
    "SignActivation",
    "StreamBlock",
    "StreamRange",
    "UniqActivation",
    "WeightMode",
    "build_network",
]
