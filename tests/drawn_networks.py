"""Random integer networks of all kinds, and images for them."""

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.network import (
    IMAGE,
    IMAGE_WEIGHT_BITS,
    AveragePoolStream,
    Clip,
    Convolution,
    GlobalSum,
    IntegerNetwork,
    Layer,
    MaxPool,
    OutputStage,
    Quantize,
    QuantizedDense,
    QuantizeStream,
    Requantize,
    RPReLU,
    evaluate,
)

Shape = tuple[int, int, int]


class Draw:
    """Draws the parts of networks; weights and thresholds in ranges where codes vary."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def levels(self, shape: tuple[int, ...], bits: int) -> NDArray[np.int8]:
        """Odd levels of weights of ``bits`` bits."""
        codes = self.random.integers(0, 2**bits, shape)
        return (2 * codes - (2**bits - 1)).astype(np.int8)

    def quantize(self, channels: int, bits: int, signed: bool, spread: float) -> Quantize:
        """Thresholds in random order of size, mostly between -spread and spread."""
        size = (2**bits - 1, channels)
        thresholds = self.random.normal(0, spread, size).round().astype(np.int32)
        return Quantize(np.sort(thresholds, axis=0), signed)

    def requantize(
        self,
        channels: int,
        largest_sum: int,
        shortcut: str | None = None,
        activation: bool = False,
    ) -> Requantize:
        """Multipliers of both signs; results that saturate now and then."""
        largest = min(2**15 - 1, 2**30 // max(largest_sum, 1))
        multiplier = self.random.integers(-largest, largest + 1, channels)
        bias = self.random.integers(-(2**29), 2**29, channels)
        return Requantize(
            multiplier=multiplier.astype(np.int16),
            bias=bias.astype(np.int32),
            shift=int(self.random.integers(11, 16)),
            shortcut=shortcut,
            activation=self.activation(channels) if activation else None,
        )

    def clipped(
        self, channels: int, spread: float, dtype: str, shortcut: str | None = None
    ) -> Requantize:
        """Slopes of both signs; sums of about ``spread`` give all values, and saturate."""
        reach = self.random.integers(1, int(4 * spread) + 3, channels)
        limits = np.iinfo(dtype)
        shift = 22 if dtype != "int16" else 14
        steepest = min((limits.max - limits.min + 1) << shift, 2**30) // reach
        multiplier = self.random.integers(-steepest, steepest + 1)
        bias = self.random.integers(limits.min << shift, limits.max << shift, channels)
        bias -= np.where(multiplier < 0, 0, (multiplier * reach).clip(max=bias + 2**30))
        return Requantize(
            multiplier=multiplier.astype(np.int32),
            bias=(bias // 2).astype(np.int32),
            shift=shift,
            shortcut=shortcut,
            clip=Clip(
                offset=self.random.integers(-2 * spread, 3 * spread + 1, channels).astype(np.int32),
                reach=reach.astype(np.int32),
            ),
            dtype=dtype,
        )

    def activation(self, channels: int) -> RPReLU:
        """Shifts and slopes over the whole range of int16."""
        before, after, slope = self.random.integers(-(2**15) + 1, 2**15, (3, channels))
        shift = int(self.random.integers(1, 16))
        return RPReLU(
            (before // 8).astype(np.int16), slope.astype(np.int16), shift, after.astype(np.int16)
        )

    def stem(self, shape: Shape, out: int, stride: int) -> Convolution:
        """3x3 convolution of the picture with its sign."""
        return Convolution(
            name="stem",
            input=IMAGE,
            weight=self.random.integers(-127, 128, (out, 3, 3, shape[2]), dtype=np.int8),
            weight_bits=IMAGE_WEIGHT_BITS,
            output=self.quantize(out, 1, True, 10000),
            stride=stride,
            padding=1,
        )

    def classifier(self, classes: int, channels: int) -> QuantizedDense:
        """The last layer, which reads the layer 'pool'."""
        return QuantizedDense(
            name="classifier",
            input="pool",
            weight=self.random.integers(-127, 128, (classes, channels), dtype=np.int8),
            bias=self.random.integers(-1000, 1000, classes, dtype=np.int32),
            scale=np.float32(0.0123),
        )


def draw_network(
    seed: int,
    input_shape: Shape = (11, 9, 3),
    stem: tuple[int, int] = (9, 1),
    blocks: tuple[tuple[int, int], ...] = ((17, 2), (40, 1)),
    classes: int = 10,
    bits: tuple[int, int] = (1, 1),
    signed: bool = True,
) -> IntegerNetwork:
    """A packed chain of depthwise and 1x1 convolutions.

    ``stem`` and ``blocks`` are (output channels, stride); ``bits`` those of weights and
    activations. With the defaults it is a binarized MobileNet.
    """
    draw = Draw(seed)
    weight_bits, activation_bits = bits
    channels, stride = stem
    top = 2**activation_bits - 1
    first = draw.stem(input_shape, channels, stride)
    layers: list[Layer] = [
        Convolution(
            **vars(first) | {"output": draw.quantize(channels, activation_bits, signed, 10000)}
        )
    ]
    spread = (2**weight_bits - 1) * top
    for index, (out, stride) in enumerate(blocks):
        layers.append(
            Convolution(
                name=f"block{index}.depthwise",
                input=layers[-1].name,
                weight=draw.levels((channels, 3, 3, 1), weight_bits),
                weight_bits=weight_bits,
                output=draw.quantize(channels, activation_bits, signed, 2 * spread),
                stride=stride,
                padding=1,
                padding_level=top if signed else 0,
                groups=channels,
            )
        )
        layers.append(
            Convolution(
                name=f"block{index}.pointwise",
                input=layers[-1].name,
                weight=draw.levels((out, 1, 1, channels), weight_bits),
                weight_bits=weight_bits,
                output=draw.quantize(out, activation_bits, signed, channels**0.5 / 2 * spread),
            )
        )
        channels = out
    layers.append(GlobalSum("pool", layers[-1].name))
    layers.append(draw.classifier(classes, channels))
    return _network(seed, input_shape, layers, classes)


def draw_eight_bit_network(
    seed: int, input_shape: Shape = (9, 7, 3), channels: int = 12, kernel: int = 3, classes: int = 7
) -> IntegerNetwork:
    """8-bit layers between all formats: bytes of both signs, codes of 2 bits, the stream.

    ``channels`` is even.
    """
    draw = Draw(seed)
    stem = draw.stem(input_shape, channels, 1)
    layers: list[Layer] = [
        Convolution(**vars(stem) | {"output": draw.clipped(channels, 10000, "uint8")})
    ]

    def add(name: str, output: OutputStage, out: int, size: int, groups: int, stride: int) -> None:
        shape = (out, size, size, channels // groups)
        layers.append(
            Convolution(
                name=name,
                input=layers[-1].name,
                weight=draw.random.integers(-127, 128, shape, dtype=np.int8),
                weight_bits=IMAGE_WEIGHT_BITS,
                output=output,
                stride=stride,
                padding=size // 2,
                groups=groups,
            )
        )

    add("depthwise", draw.clipped(channels, 20000, "int8"), channels, kernel, channels, 1)
    add("grouped", draw.quantize(channels, 2, False, 20000), channels, kernel, 2, 2)
    add("of_codes", draw.clipped(channels, 300, "uint8"), channels, kernel, channels, 1)
    add("unsigned", draw.clipped(channels, 20000, "int8"), channels, 1, 1, 1)
    layers.append(MaxPool("maximum", "unsigned", 3, 1, 1))
    add("signed", draw.clipped(channels, 20000, "int16"), channels, kernel, 1, 1)
    layers.append(QuantizeStream("bytes", "signed", draw.clipped(channels, 9000, "uint8")))
    add("last", draw.clipped(2 * channels, 20000, "int16", "signed"), 2 * channels, 1, 1, 1)
    layers.append(QuantizeStream("end", "last", draw.clipped(2 * channels, 9000, "int8")))
    layers.append(GlobalSum("pool", "end", shift=2))
    layers.append(draw.classifier(classes, 2 * channels))
    return _network(seed, input_shape, layers, classes)


def draw_shortcut_network(
    seed: int,
    input_shape: Shape = (11, 9, 3),
    channels: int = 9,
    blocks: int = 2,
    kernel: int = 3,
    signed: bool = True,
    classes: int = 7,
) -> IntegerNetwork:
    """ReActNet's blocks: k x k with stride 2 and 1x1 that doubles, each past an int16 shortcut."""
    draw = Draw(seed)
    first = draw.stem(input_shape, channels, 1)
    largest = 255 * int(np.abs(first.weight.astype(int)).sum(axis=(1, 2, 3)).max())
    layers: list[Layer] = [
        Convolution(**vars(first) | {"output": draw.requantize(channels, largest)})
    ]
    for index in range(blocks):
        block, entry, pooled = f"block{index}", layers[-1].name, f"block{index}.shortcut"
        sign = draw.quantize(channels, 1, signed, 8000)
        layers.append(QuantizeStream(f"{block}.sign", entry, sign))
        layers.append(AveragePoolStream(pooled, entry))
        layers.append(
            Convolution(
                name=f"{block}.conv",
                input=f"{block}.sign",
                weight=draw.levels((channels, kernel, kernel, channels), 1),
                weight_bits=1,
                output=draw.requantize(channels, kernel**2 * channels, pooled, True),
                stride=2,
                padding=kernel // 2,
                padding_level=int(draw.random.integers(0, 2)),
            )
        )
        sign = draw.quantize(channels, 1, True, 8000)
        layers.append(QuantizeStream(f"{block}.sign2", f"{block}.conv", sign))
        layers.append(
            Convolution(
                name=f"{block}.double",
                input=f"{block}.sign2",
                weight=draw.levels((2 * channels, 1, 1, channels), 1),
                weight_bits=1,
                output=draw.requantize(2 * channels, channels, f"{block}.conv", index > 0),
            )
        )
        channels *= 2
    layers.append(GlobalSum("pool", layers[-1].name, shift=7))
    layers.append(draw.classifier(classes, channels))
    return _network(seed, input_shape, layers, classes)


def draw_convolution_network(
    seed: int,
    input_shape: Shape = (13, 11, 3),
    kernel: int = 3,
    groups: int = 2,
    dilation: int = 1,
    stride: int = 1,
    padding: int = 1,
    padding_top: bool = False,
    bits: tuple[int, int] = (2, 2),
    signed: bool = False,
    pool: tuple[int, int, int] = (3, 2, 1),
) -> IntegerNetwork:
    """A grouped convolution of n-bit codes and a maximum of ``pool`` (kernel, stride, padding)."""
    draw = Draw(seed)
    channels, out = 5 * groups, 9 * groups
    weight_bits, activation_bits = bits
    top = 2**activation_bits - 1
    first = draw.stem(input_shape, channels, 1)
    spread = kernel * (2**weight_bits - 1) * top
    layers: list[Layer] = [
        Convolution(
            **vars(first) | {"output": draw.quantize(channels, activation_bits, signed, 10000)}
        ),
        Convolution(
            name="grouped",
            input="stem",
            weight=draw.levels((out, kernel, kernel, 5), weight_bits),
            weight_bits=weight_bits,
            output=draw.quantize(out, activation_bits, signed, spread),
            stride=stride,
            padding=padding,
            padding_level=top if padding_top else 0,
            dilation=dilation,
            groups=groups,
        ),
        MaxPool("maximum", "grouped", *pool),
        GlobalSum("pool", "maximum"),
        draw.classifier(6, out),
    ]
    return _network(seed, input_shape, layers, 6)


def draw_images(network: IntegerNetwork, count: int, seed: int = 0) -> np.ndarray:
    """Random uint8 images [count, H, W, C]."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, *network.input_shape), dtype=np.uint8)


def numpy_logits(network: IntegerNetwork, images: np.ndarray) -> np.ndarray:
    """float32 [N, classes], by the definition."""
    return evaluate(network, images)[network.layers[-1].name]


def _network(seed: int, shape: Shape, layers: list[Layer], classes: int) -> IntegerNetwork:
    names = tuple(f"class {index}" for index in range(classes))
    return IntegerNetwork("drawn", shape, tuple(layers), names, {"seed": str(seed)})
