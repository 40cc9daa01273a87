"""Layers of an integer network, as plain frozen records of numpy arrays.

Every tensor is NHWC. Between layers flow *bits* (1 is +1, 0 is -1; :mod:`.bits` packs them).
Batch normalisation and sign are folded into one integer per output channel: the output bit is
``sum >= threshold``. Training negates the filters of channels whose batch normalisation has a
negative scale, so that no layer needs a second kind of comparison; a channel whose bit never
changes has a threshold beyond the range of its sum. sign(0) = +1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class QuantizedConv:
    """First layer: uint8 image, int8 weights, int32 sums, one threshold per channel.

    ``weight`` int8 [out, kernel, kernel, in]; ``threshold`` int32 [out]. Pads with 0.
    """

    name: str
    weight: NDArray[np.int8]
    threshold: NDArray[np.int32]
    stride: int
    padding: int


@dataclass(frozen=True, eq=False)
class BinaryDepthwiseConv:
    """One kernel x kernel filter of +1 and -1 for each channel. Pads with +1.

    ``weight`` uint8 {0, 1} [kernel, kernel, channels]; ``threshold`` int32 [channels], compared
    with the sum of +1 and -1 (for 3x3 an odd number from -9 to 9).
    """

    name: str
    weight: NDArray[np.uint8]
    threshold: NDArray[np.int32]
    stride: int
    padding: int


@dataclass(frozen=True, eq=False)
class BinaryPointwiseConv:
    """1x1 convolution of +1 and -1 with +1 and -1.

    ``weight`` uint8 {0, 1} [out, in]; ``threshold`` int32 [out], compared with the sum.
    """

    name: str
    weight: NDArray[np.uint8]
    threshold: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class GlobalBitCount:
    """Global pooling of bits: how many positions of a channel are +1. int32 [channels]."""

    name: str


@dataclass(frozen=True, eq=False)
class QuantizedDense:
    """Classifier: counts times int8 weights, plus an int32 bias; the last scale is float.

    ``weight`` int8 [classes, in]; ``bias`` int32 [classes]; logits = float32(sum) * ``scale``.
    """

    name: str
    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    scale: np.float32


Layer = QuantizedConv | BinaryDepthwiseConv | BinaryPointwiseConv | GlobalBitCount | QuantizedDense


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A chain of layers from a uint8 image to float logits.

    ``input_shape`` is (height, width, channels). ``class_names`` labels the logits; ``metadata``
    (dataset, recipe, seed, accuracy ...) travels with the network into the ONNX file.
    """

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    class_names: tuple[str, ...]
    metadata: dict[str, str]
