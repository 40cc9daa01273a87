"""Whether training on this processor multiplies in bfloat16, decided by measuring.

Processors with AMX do so several times faster than in float32, but everything around a
convolution stays in float32, and converting costs passes over memory: it pays for networks of
dense 3x3 layers (docs/training.md). GPUs compute the whole forward pass in it, unmeasured.
"""

import copy
import time

import torch.nn.functional as functional
from torch import Tensor

from bitat_deploy.training.cost import network_cost
from bitat_deploy.training.networks import CodeConvolution, QuantizedNetwork
from bitat_deploy.training.processor import processor_features

_WORTH = 0.85  # of a float32 step's time
_SMALLEST_BATCH = 1 << 28  # multiply-accumulates; less is quick in any format, and hard to measure
_ROUNDS = 3


def use_bfloat16(network: QuantizedNetwork, narrow: bool) -> None:
    """Let dense layers multiply in bfloat16 in training; evaluation is always in float32."""
    for layer in network.modules():
        if isinstance(layer, CodeConvolution):
            layer.narrow = narrow


def bfloat16_pays(network: QuantizedNetwork, images: Tensor, labels: Tensor) -> bool:
    """Whether forward and backward pass of a batch take 15 % less time than in float32.

    ``images`` [N, C, H, W] and ``labels`` [N] are on the processor. Only processors with AMX are
    measured, with networks that have dense 3x3 layers and work enough. ``network`` stays as it is.
    """
    dense = any(
        isinstance(layer, CodeConvolution) and layer.kernel > 1 and not layer.depthwise
        for layer in network.modules()
    )
    if not dense or "amx_bf16" not in processor_features() or images.device.type != "cpu":
        return False
    trial = copy.deepcopy(network)
    cost = sum(work for name, work in network_cost(trial).items() if name != "weight_bits")
    if cost * len(images) < _SMALLEST_BATCH:
        return False
    trial.train()
    least = {False: float("inf"), True: float("inf")}
    for _ in range(_ROUNDS):
        for narrow in least:
            use_bfloat16(trial, narrow)
            began = time.perf_counter()
            functional.cross_entropy(trial(images), labels).backward()
            least[narrow] = min(least[narrow], time.perf_counter() - began)
    return least[True] < _WORTH * least[False]
