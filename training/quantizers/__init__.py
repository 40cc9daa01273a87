"""Quantization of weights and activations, each kind registered by its name in recipes.

sign(0) = +1 everywhere, as on the device.
"""

from bitat_deploy.training.quantizers.quantizer import (
    Activation,
    Constrained,
    Quantizer,
    WeightMode,
    WeightQuantizer,
    int8_scale,
    int8_weight,
    make_activation,
    nonlinearity_of,
    quantizer_of,
)
from bitat_deploy.training.quantizers.sign import binarized_weight, binary_sign, constrain_latent

__all__ = [
    "Activation",
    "Constrained",
    "Quantizer",
    "WeightMode",
    "WeightQuantizer",
    "binarized_weight",
    "binary_sign",
    "constrain_latent",
    "int8_scale",
    "int8_weight",
    "make_activation",
    "nonlinearity_of",
    "quantizer_of",
]
