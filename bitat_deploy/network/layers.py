"""Layers of an integer network, as plain frozen records of numpy arrays.

A layer reads the output of the layer named by ``input``, or the network's input (``IMAGE``).
:mod:`.formats` describes the tensors between layers; :mod:`.evaluate` defines, in plain numpy, what
a layer computes. Arithmetic is integer up to the classifier's last multiplication, and ``a >> n``
is the arithmetic shift, which rounds down.

Batch normalisation and activation are folded into the ``output`` of the convolution before them.
Training negates the filters of channels whose batch normalisation has a negative scale, so that
no layer needs a second kind of comparison. A code that never changes has thresholds outside the
range of its sum. sign(0) = +1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IMAGE = "image"  # the ``input`` of a layer that reads the network's input
IMAGE_WEIGHT_BITS = 8  # for the image and bytes, and for codes where a layer keeps 8 bits
# What a Requantize saturates to, by the type that it writes. int8 is symmetric, like the weights.
SATURATION = {"int16": (-(2**15), 2**15 - 1), "uint8": (0, 255), "int8": (-127, 127)}


@dataclass(frozen=True, eq=False)
class Quantize:
    """Sums or stream to codes: the number of thresholds that are not above the value.

    ``thresholds`` int32 [2^bits - 1, channels]; ``signed`` says which levels the codes mean
    (:class:`.formats.Codes`). One threshold with ``signed`` is the sign of batch normalisation.
    """

    thresholds: NDArray[np.int32]
    signed: bool

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return len(self.thresholds).bit_length()


@dataclass(frozen=True, eq=False)
class RPReLU:
    """PReLU between two shifts of its axis (ReActNet, arXiv 2003.03488, equation 6), on int16.

    t = y + before; where t < 0: t = (t slope + 2^(slope_shift - 1)) >> slope_shift; the result is
    t + after, saturated to int16. ``before``, ``slope``, ``after`` int16 [channels], slope
    > -32768; ``slope_shift`` from 1 to 15.
    """

    before: NDArray[np.int16]
    slope: NDArray[np.int16]
    slope_shift: int
    after: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Clip:
    """min(max(sum + offset, 0), reach), with ``offset`` and ``reach`` int32 [channels].

    In front of a multiplication it leaves int32 room for a precise multiplier: sums beyond are
    those whose result is saturated whatever they are.
    """

    offset: NDArray[np.int32]
    reach: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Requantize:
    """Sums to the int16 stream or to bytes: ((sum multiplier + bias) >> shift) + shortcut.

    The result is saturated by ``dtype`` (SATURATION): "int16" is a stream, "uint8" and "int8" are
    bytes.
    ``multiplier`` int16 [out], with a ``clip``, which comes before it, int32; ``bias`` int32 [out];
    ``shift`` from 0 to 30. ``shortcut`` names the layer whose stream is added: output channel c
    takes its channel c modulo its channels. ``activation``, of streams alone, comes last. For
    rounding add 2^(shift - 1) to the bias.
    """

    multiplier: NDArray[np.int16] | NDArray[np.int32]
    bias: NDArray[np.int32]
    shift: int
    shortcut: str | None = None
    activation: RPReLU | None = None
    clip: Clip | None = None
    dtype: str = "int16"


@dataclass(frozen=True)
class Sums:
    """The int32 sums themselves."""


@dataclass(frozen=True, eq=False)
class Rescale:
    """Sums to bytes by float32, as int8 files have it; of mixed networks alone.

    clip(round(float32(sum + bias) * multiplier) + zero, low, high): every step in float32, halves
    to the even number (Jacob et al., arXiv 1712.05877, equation 4). ``bias`` int32 [out],
    ``multiplier`` float32 [out]; ``zero``, ``low`` and ``high`` from 0 to 255.
    """

    bias: NDArray[np.int32]
    multiplier: NDArray[np.float32]
    zero: int
    low: int = 0
    high: int = 255


OutputStage = Quantize | Requantize | Rescale | Sums


@dataclass(frozen=True, eq=False)
class Convolution:
    """Convolution of the image, of bytes or of codes, with the ``output`` stage of its sums.

    ``weight`` int8 [out, height, width, in / groups]: any int8 with ``weight_bits`` 8; for codes
    also odd levels from -(2^n - 1) to 2^n - 1, with ``weight_bits`` n from 1 to 4. Filters are
    square, or one row or one column, padded only at its ends. Pads with ``padding_level``: 0, or
    the highest level of the codes read, which for signs is +1; of a mixed network's uint8 any.
    """

    name: str
    input: str
    weight: NDArray[np.int8]
    weight_bits: int
    output: OutputStage
    stride: int = 1
    padding: int = 0
    padding_level: int = 0
    dilation: int = 1
    groups: int = 1

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self.weight.shape[0]

    @property
    def kernels(self) -> tuple[int, int]:
        """Height and width of the filters."""
        return self.weight.shape[1], self.weight.shape[2]

    @property
    def kernel(self) -> int:
        """The larger of height and width."""
        return max(self.kernels)

    @property
    def taps(self) -> int:
        """Pixels that a filter covers."""
        return self.weight.shape[1] * self.weight.shape[2]

    @property
    def square(self) -> bool:
        """Whether filters are as high as wide."""
        return self.weight.shape[1] == self.weight.shape[2]

    @property
    def paddings(self) -> tuple[int, int]:
        """Rows padded above and below, columns padded left and right."""
        height, width = (self.padding if self.square or size > 1 else 0 for size in self.kernels)
        return height, width

    @property
    def depthwise(self) -> bool:
        """Whether each channel has its own single filter."""
        return self.groups == self.out_channels and self.weight.shape[3] == 1

    @property
    def pointwise(self) -> bool:
        """Whether it computes every pixel from that pixel alone."""
        window = (self.kernel, self.stride, self.padding, self.groups)
        return window == (1, 1, 0, 1)


@dataclass(frozen=True, eq=False)
class QuantizeStream:
    """Stream to codes, or to bytes where ``output`` is a Requantize without shortcut."""

    name: str
    input: str
    output: Quantize | Requantize


@dataclass(frozen=True, eq=False)
class AveragePoolStream:
    """2x2 average of a stream with stride 2: (sum + 2) >> 2.

    A last row or column without a partner counts twice, so that the output has the size of that of
    a 3x3 convolution with stride 2 and padding 1.
    """

    name: str
    input: str


@dataclass(frozen=True, eq=False)
class MaxPool:
    """Maximum of codes or bytes; padding is ignored. ``padding`` is less than ``kernel``."""

    name: str
    input: str
    kernel: int
    stride: int
    padding: int = 0


@dataclass(frozen=True, eq=False)
class GlobalSum:
    """Global pooling to int32 [channels].

    Of codes: their sum, as unsigned numbers (of signs: how many are +1), and ``shift`` is 0. Of a
    stream or of bytes: (sum + 2^(shift - 1)) >> shift, or the sum where shift is 0.
    """

    name: str
    input: str
    shift: int = 0


@dataclass(frozen=True, eq=False)
class QuantizedDense:
    """Classifier: counts times int8 weights, plus an int32 bias; the last scale is float.

    ``weight`` int8 [classes, in]; ``bias`` int32 [classes]; logits = float32(sum) * ``scale``.
    """

    name: str
    input: str
    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    scale: np.float32


Layer = Convolution | QuantizeStream | AveragePoolStream | MaxPool | GlobalSum | QuantizedDense
