"""What the convolutions of signs share: 1-bit codes in, weights of 1 bit, 1-bit codes out.

Algebra. They compare the sum over inputs x of +1 and -1 with a threshold. Unsigned codes
u = (x + 1) / 2 have (sum over x + sum of weights) / 2 as their sum, hence ``sum over u >= t`` is
``sum over x >= 2 t - sum of weights``.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network import Codes, Convolution, Format, Quantize
from bitat_deploy.operators.convolution import ConvolutionOperator
from bitat_deploy.target import Target


class BinaryConv(ConvolutionOperator):
    """A convolution of packed signs whose output stage is one threshold."""

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """Convolutions whose codes, weights and output have 1 bit."""
        if not isinstance(layer, Convolution) or not isinstance(layer.output, Quantize):
            return False
        source = formats[layer.input]
        bits = (layer.weight_bits, layer.output.bits)
        return isinstance(source, Codes) and (source.bits, *bits) == (1, 1, 1)

    def _workload_details(self) -> tuple[str, ...]:
        return ()

    @property
    def weight_bits(self) -> NDArray[np.uint8]:
        """1 for +1 and 0 for -1: [out, kernel, kernel, channels of a group]."""
        return (self.layer.weight > 0).astype(np.uint8)

    @cached_property
    def threshold(self) -> NDArray[np.int32]:
        """For the sum of +1 and -1: int32 [out]."""
        assert isinstance(self.layer.output, Quantize)
        threshold = self.layer.output.thresholds[0]
        if self.source.signed:
            return threshold
        weight = self.layer.weight.astype(np.int64).reshape(self.layer.out_channels, -1)
        reach = weight.shape[1] + 1  # keeps 2 t within int32
        within = np.clip(threshold.astype(np.int64), -reach, reach)
        return (2 * within - weight.sum(axis=1)).astype(np.int32)
