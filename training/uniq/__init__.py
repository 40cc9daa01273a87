"""UniQ: a symmetric quantizer with a learned step, for 1 to 8 bits.

Pham, Abraham, Chung, "Training Multi-Bit Quantized and Binarized Networks with a Learnable
Symmetric Quantizer", IEEE Access 9:47194 (2021), arXiv 2104.00210. Tags in the docstrings: [P]
from the paper or its authors' code, [D] derived here and tested, [R] our reconstruction or choice.
"""

from bitat_deploy.training.uniq.calibration import CALIBRATION_BATCHES, calibrate
from bitat_deploy.training.uniq.levels import MAXIMUM_BITS
from bitat_deploy.training.uniq.modules import ActivationQuantizer, WeightQuantizer

__all__ = [
    "CALIBRATION_BATCHES",
    "MAXIMUM_BITS",
    "ActivationQuantizer",
    "WeightQuantizer",
    "calibrate",
]
