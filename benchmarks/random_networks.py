"""MobileNets with drawn weights: speed and size can be measured without training.

Signs of weights are drawn evenly, and thresholds with about the spread of the sums they are
compared with, so that activations vary. Each network is a packed chain: 1-bit weights and
activations, an 8-bit first convolution and classifier, no shortcuts; or, in WIDER_NETWORKS, the
same chain with 2, 4 or 8 bits or 1-bit weights and 2-bit activations, and ResNet-18's 3x3 layers
in a chain. The shapes are those of the papers' networks.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network import (
    IMAGE,
    IMAGE_WEIGHT_BITS,
    Clip,
    Convolution,
    GlobalSum,
    IntegerNetwork,
    Layer,
    Quantize,
    QuantizedDense,
    Requantize,
)

# Output channels and stride of each block; MobileNetV1 1.0, arXiv 1704.04861, table 1.
_V1_STEM = 32
_V1_BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
_V1_BLOCKS += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]

# Expansion, output channels, repeats and first stride; MobileNetV2 1.0, arXiv 1801.04381, table 2.
_V2_STEM, _V2_HEAD = 32, 1280
_V2_STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
_V2_STAGES += [(6, 160, 3, 2), (6, 320, 1, 1)]


# Output channels and stride of the 3x3 layers of ResNet-18, arXiv 1512.03385, table 1.
_RESNET_STEM = 64
_RESNET_LAYERS = [(64, 1)] * 4
_RESNET_LAYERS += [(out, stride) for out in (128, 256, 512) for stride in (2, 1, 1, 1)]


def random_mobilenet_v1(
    size: int = 224, classes: int = 1000, seed: int = 0, bits: int = 1, weight_bits: int = 0
) -> IntegerNetwork:
    """MobileNetV1 1.0 for images of ``size`` x ``size`` x 3.

    ``bits`` of activations are 1 to 4 or 8; weights have as many unless ``weight_bits`` is given.
    """
    chain = _Chain(size, _V1_STEM, seed, bits, weight_bits)
    for index, (out, stride) in enumerate(_V1_BLOCKS):
        chain.depthwise(f"block{index}.depthwise", stride)
        chain.pointwise(f"block{index}.pointwise", out)
    return chain.finish(_name("v1", size, bits, weight_bits), classes)


def random_mobilenet_v2(
    size: int = 224, classes: int = 1000, seed: int = 0, bits: int = 1
) -> IntegerNetwork:
    """MobileNetV2 1.0 for images of ``size`` x ``size`` x 3, without its shortcuts.

    Each convolution's output is quantized, also that of the bottlenecks, which are linear in the
    paper. ``bits`` are 1 to 4 or 8.
    """
    chain = _Chain(size, _V2_STEM, seed, bits)
    for index, (expansion, out, stride) in enumerate(mobilenet_v2_blocks()):
        if expansion != 1:
            chain.pointwise(f"block{index}.expand", expansion * chain.channels)
        chain.depthwise(f"block{index}.depthwise", stride)
        chain.pointwise(f"block{index}.project", out)
    chain.pointwise("head", _V2_HEAD)
    return chain.finish(_name("v2", size, bits), classes)


def random_resnet(size: int = 112, classes: int = 1000, seed: int = 0) -> IntegerNetwork:
    """ResNet-18's 3x3 layers, binary, without shortcuts; the first layer is a MobileNet's."""
    chain = _Chain(size, _RESNET_STEM, seed, 1)
    for index, (out, stride) in enumerate(_RESNET_LAYERS):
        chain.dense(f"layer{index}", out, stride)
    return chain.finish(f"random-resnet-18-chain-{size}", classes)


RANDOM_NETWORKS: dict[str, Callable[..., IntegerNetwork]] = {
    "mobilenet-v1": random_mobilenet_v1,
    "mobilenet-v2": random_mobilenet_v2,
}
WIDER_NETWORKS: dict[str, Callable[..., IntegerNetwork]] = {
    f"{name}-w{bits}a{bits}": partial(network, bits=bits)
    for name, network in RANDOM_NETWORKS.items()
    for bits in (2, 4, 8)
}
WIDER_NETWORKS["mobilenet-v1-w1a2"] = partial(random_mobilenet_v1, bits=2, weight_bits=1)
WIDER_NETWORKS["resnet-18-chain"] = random_resnet


def _name(version: str, size: int, bits: int, weight_bits: int = 0) -> str:
    width = f"-w{weight_bits or bits}a{bits}" if bits > 1 else ""
    return f"random-mobilenet-{version}-{size}{width}"


def mobilenet_v1_blocks() -> list[tuple[int, int]]:
    """Output channels and stride of every block."""
    return list(_V1_BLOCKS)


def mobilenet_v2_blocks() -> Iterator[tuple[int, int, int]]:
    """Expansion, output channels and stride of every block."""
    for expansion, out, repeats, stride in _V2_STAGES:
        for repeat in range(repeats):
            yield expansion, out, stride if repeat == 0 else 1


class _Chain:
    """Layers one after the other, each reading the one before it."""

    def __init__(self, size: int, stem: int, seed: int, bits: int, weight_bits: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._bits, self._weight_bits = bits, weight_bits or bits
        self._seed = seed
        self._input_shape = (size, size, 3)
        self.channels = stem
        first = Convolution(
            name="stem",
            input=IMAGE,
            weight=self._random.integers(-127, 128, (stem, 3, 3, 3), dtype=np.int8),
            weight_bits=IMAGE_WEIGHT_BITS,
            output=self._output(stem, 10000, 27),
            stride=2,
            padding=1,
        )
        self._layers: list[Layer] = [first]

    def depthwise(self, name: str, stride: int) -> None:
        """3x3, padded with +1, or with 0 where there is more than one bit."""
        convolution = Convolution(
            name=name,
            input=self._layers[-1].name,
            weight=self._weights((self.channels, 3, 3, 1)),
            weight_bits=self._weight_bits,
            output=self._output(self.channels, 2, 9),
            stride=stride,
            padding=1,
            padding_level=1 if self._bits == 1 else 0,
            groups=self.channels,
        )
        self._layers.append(convolution)

    def pointwise(self, name: str, out: int) -> None:
        convolution = Convolution(
            name=name,
            input=self._layers[-1].name,
            weight=self._weights((out, 1, 1, self.channels)),
            weight_bits=self._weight_bits,
            output=self._output(out, self.channels**0.5 / 2, self.channels),
        )
        self._layers.append(convolution)
        self.channels = out

    def dense(self, name: str, out: int, stride: int) -> None:
        """3x3 of all channels, padded with +1."""
        convolution = Convolution(
            name=name,
            input=self._layers[-1].name,
            weight=self._weights((out, 3, 3, self.channels)),
            weight_bits=self._weight_bits,
            output=self._output(out, 1.5 * self.channels**0.5, 9 * self.channels),
            stride=stride,
            padding=1,
            padding_level=1,
        )
        self._layers.append(convolution)
        self.channels = out

    def finish(self, name: str, classes: int) -> IntegerNetwork:
        """Add pooling and the classifier."""
        classifier = QuantizedDense(
            name="classifier",
            input="pool",
            weight=self._random.integers(-127, 128, (classes, self.channels), dtype=np.int8),
            bias=self._random.integers(-1000, 1000, classes, dtype=np.int32),
            scale=np.float32(0.01),
        )
        shift = 5 if self._bits == 8 else 0
        layers = (*self._layers, GlobalSum("pool", self._layers[-1].name, shift), classifier)
        names = tuple(f"class {index}" for index in range(classes))
        metadata = {"weights": "drawn, not trained", "seed": str(self._seed)}
        return IntegerNetwork(name, self._input_shape, layers, names, metadata)

    def _weights(self, shape: tuple[int, ...]) -> NDArray[np.int8]:
        bits = self._weight_bits
        if bits == 8:
            return self._random.integers(-127, 128, shape, dtype=np.int8)
        codes = self._random.integers(0, 2**bits, shape, dtype=np.int8)
        return (2 * codes - (2**bits - 1)).astype(np.int8)

    def _output(self, channels: int, spread: float, inputs: int) -> Quantize | Requantize:
        """Thresholds mostly between -spread and spread of signs; bytes of ``inputs`` products."""
        if self._bits == 8:
            reach = int(73 * 147 * inputs**0.5)  # uniform weights and levels: half as many bytes
            offset = self._random.integers(0, reach, channels, dtype=np.int32)
            clip = Clip(offset, np.full(channels, reach, np.int32))
            multiplier = np.full(channels, (256 << 22) // reach, np.int32)
            bias = np.full(channels, 1 << 21, np.int32)
            return Requantize(multiplier, bias, 22, clip=clip, dtype="uint8")
        top = 2**self._bits - 1
        spread *= 1 if spread > 1000 else top**2  # the picture's sums are what they are
        thresholds = self._random.normal(0, spread, (top, channels)).round().astype(np.int32)
        return Quantize(np.sort(thresholds, axis=0), signed=self._bits == 1)
