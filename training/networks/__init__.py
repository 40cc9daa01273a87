"""Networks to train: floating-point modules that can become an integer network."""

from bitat_deploy.training.networks.architecture import Architecture
from bitat_deploy.training.networks.build import build_network
from bitat_deploy.training.networks.layers import (
    BinaryLayer,
    Classifier,
    CodeConvolution,
    CodeLayer,
    EightBitLayer,
    NormalizedLayer,
    QuantizedStem,
)
from bitat_deploy.training.networks.network import QuantizedNetwork
from bitat_deploy.training.networks.staged import StagedNetwork
from bitat_deploy.training.networks.stream import RPReLU, StreamBlock
from bitat_deploy.training.networks.stream_range import StreamRange

__all__ = [
    "Architecture",
    "BinaryLayer",
    "Classifier",
    "CodeConvolution",
    "CodeLayer",
    "EightBitLayer",
    "NormalizedLayer",
    "QuantizedNetwork",
    "QuantizedStem",
    "RPReLU",
    "StagedNetwork",
    "StreamBlock",
    "StreamRange",
    "build_network",
]
