"""Operations of training in C; PyTorch's own operators where no compiler is at hand.

On a processor the training of a binary network is bound by memory, not arithmetic. These kernels
pass over memory as seldom as can be; a step takes about half the time.
"""

from bitat_deploy.training.native.batch_normalization import (
    fuses,
    normalize,
    normalize_and_quantize,
    normalize_and_rectify,
    normalize_and_sign,
    scale_and_shift,
)
from bitat_deploy.training.native.depthwise import depthwise_convolution
from bitat_deploy.training.native.library import kernels
from bitat_deploy.training.native.quantize import (
    Levels,
    fits_kernels,
    level_gradients,
    quantize_levels,
)
from bitat_deploy.training.native.rprelu import rprelu
from bitat_deploy.training.native.sign import sign_of_activation

__all__ = [
    "Levels",
    "depthwise_convolution",
    "fits_kernels",
    "fuses",
    "kernels",
    "level_gradients",
    "normalize",
    "normalize_and_quantize",
    "normalize_and_rectify",
    "normalize_and_sign",
    "quantize_levels",
    "rprelu",
    "scale_and_shift",
    "sign_of_activation",
]
