"""A whole network's layers, folded one after the other."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bitat_deploy.network import (
    IMAGE,
    IMAGE_WEIGHT_BITS,
    SATURATION,
    AveragePoolStream,
    Convolution,
    Layer,
    OutputStage,
    Quantize,
    QuantizeStream,
    Requantize,
    tensor_formats,
)
from bitat_deploy.training.folding.affine import fold_affine
from bitat_deploy.training.folding.classifier import fold_classifier
from bitat_deploy.training.folding.requantize import fold_requantize, fold_rprelu, stream_scale
from bitat_deploy.training.folding.source import CodeSource, Source, StreamSource
from bitat_deploy.training.folding.thresholds import fold_thresholds, stream_thresholds
from bitat_deploy.training.folding.weights import (
    FoldedWeight,
    check_bits,
    code_weight,
    stem_weight,
)
from bitat_deploy.training.networks import (
    CodeLayer,
    NormalizedLayer,
    QuantizedNetwork,
    QuantizedStem,
    RPReLU,
    StreamBlock,
)
from bitat_deploy.training.normalization import affine_of
from bitat_deploy.training.quantizers import Activation

_INT16 = 2**15 - 1


def fold_layers(network: QuantizedNetwork) -> tuple[Layer, ...]:
    """The integer layers of ``network`` with all weights and activations quantized.

    Packed chains are exact up to the rounding of the float sums that training computes. In
    networks with a stream, values are rounded to its fixed point. Raises UnsupportedOperatorError
    naming a layer for which the device has no operator, and InputError for a network with a
    stream that was never trained.
    """
    folder = _Folder(stream_scale(network))
    source = folder.stem(network.stem)
    source = folder.part(network.body, source)
    height, width, _ = tensor_formats(network.input_shape, folder.layers)[source.name].shape
    pooling, dense = fold_classifier(network.classifier, source, height * width, folder.scale)
    return (*folder.layers, pooling, dense)


class _Folder:
    """Collects layers; each method appends what its module becomes and returns what that gives."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.layers: list[Layer] = []

    def stem(self, stem: QuantizedStem) -> Source:
        weight = stem_weight(stem)
        values, output, source = self._output("stem", stem, weight)
        self.layers.append(
            Convolution(
                name="stem",
                input=IMAGE,
                weight=values,
                weight_bits=IMAGE_WEIGHT_BITS,
                output=output,
                stride=stem.stride,
                padding=stem.padding,
            )
        )
        return source

    def part(self, part: nn.Module, source: Source) -> Source:
        """Whatever a body is made of."""
        if isinstance(part, nn.Sequential):
            for child in part:
                source = self.part(child, source)
            return source
        if isinstance(part, StreamBlock):
            assert isinstance(source, StreamSource)
            return self._block(part, source)
        if isinstance(part, Activation):
            assert isinstance(source, StreamSource)
            return self._quantize_stream(part, source, f"{source.name}.codes")
        assert isinstance(part, CodeLayer)
        assert isinstance(source, CodeSource)
        return self._binary(part, source)

    def _block(self, block: StreamBlock, stream: StreamSource) -> Source:
        *below, last = block.layers
        assert isinstance(last, CodeLayer)
        first = block.layers[0]
        source: Source = self._quantize_stream(block.activation, stream, f"{first.name}.codes")
        for layer in below:
            source = self.part(layer, source)
        carried = stream.name if block.shortcut else None
        if block.shortcut and block.stride == 2:
            carried = f"{last.name}.shortcut"
            self.layers.append(AveragePoolStream(carried, stream.name))
        assert isinstance(source, CodeSource)
        return self._binary(last, source, carried, block.rprelu)

    def _quantize_stream(self, activation: Activation, stream: StreamSource, name: str) -> Source:
        if activation.bits == IMAGE_WEIGHT_BITS:
            whole = np.full(self._channels(stream), _INT16)
            # A stream's s stands for (s + 1/2) / scale.
            levels = self._bytes(activation, 1 / self.scale, 0.5 / self.scale, (-whole - 1, whole))
            self.layers.append(QuantizeStream(name, stream.name, levels))
            return self._codes(name, activation)
        thresholds = stream_thresholds(activation.crossings(), self.scale)
        shape = (len(thresholds), self._channels(stream))
        stage = Quantize(
            np.ascontiguousarray(np.broadcast_to(thresholds, shape)), activation.signed
        )
        self.layers.append(QuantizeStream(name, stream.name, stage))
        return self._codes(name, activation)

    def _binary(
        self,
        layer: CodeLayer,
        source: CodeSource,
        carried: str | None = None,
        rprelu: RPReLU | None = None,
    ) -> Source:
        weight = code_weight(layer, source)
        values, output, result = self._output(layer.name, layer, weight, carried, rprelu)
        self.layers.append(
            Convolution(
                name=layer.name,
                input=source.name,
                weight=values,
                weight_bits=IMAGE_WEIGHT_BITS if source.is_bytes else layer.weight_bits,
                output=output,
                stride=layer.stride,
                padding=layer.padding,
                padding_level=source.top if layer.padding and layer.padding_value else 0,
                groups=layer.groups,
            )
        )
        return result

    def _output(
        self,
        name: str,
        layer: NormalizedLayer,
        weight: FoldedWeight,
        carried: str | None = None,
        rprelu: RPReLU | None = None,
    ) -> tuple[NDArray[np.int8], OutputStage, Source]:
        """The weights as the device has them, the output stage, and what it gives."""
        activation = layer.activation
        if activation is not None:
            source = self._codes(name, activation)
            if source.is_bytes:
                slope, intercept = _normalized(layer, weight)
                bounds = (weight.lowest, weight.highest)
                return weight.values, self._bytes(activation, slope, intercept, bounds), source
            thresholds, negated = fold_thresholds(
                layer.normalization,
                weight.unit,
                weight.lowest,
                weight.highest,
                activation.crossings(),
            )
            return weight.negated(negated), Quantize(thresholds, activation.signed), source
        activated = None if rprelu is None else fold_rprelu(rprelu, self.scale)
        if getattr(layer, "weight_bits", 0) == IMAGE_WEIGHT_BITS:
            slope, intercept = _normalized(layer, weight)
            rounded = 0.5 if carried is not None else 0.0
            reach = 2 * _INT16 if carried is not None else _INT16
            affine = fold_affine(
                self.scale * slope,
                self.scale * intercept + rounded,
                (weight.lowest, weight.highest),
                (-reach, reach),
                "int16",
                carried,
            )
            return weight.values, replace(affine, activation=activated), StreamSource(name)
        requantize = fold_requantize(
            layer.normalization,
            weight.unit,
            np.maximum(weight.highest, -weight.lowest),
            self.scale,
            carried,
            activated,
        )
        return weight.values, requantize, StreamSource(name)

    def _bytes(
        self,
        activation: Activation,
        slope: NDArray[np.float64] | float,
        intercept: NDArray[np.float64] | float,
        bounds: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> Requantize:
        """The levels of slope * integer + intercept, rounded: integers within ``bounds`` [out]."""
        gain, offset = activation.front()
        unit, dtype = activation.unit(), "int8" if activation.signed else "uint8"
        slopes = np.broadcast_to(gain * slope / unit, bounds[0].shape)
        offsets = np.broadcast_to((gain * intercept + offset) / unit + 0.5, bounds[0].shape)
        return fold_affine(slopes, offsets, bounds, SATURATION[dtype], dtype)

    def _codes(self, name: str, activation: Activation) -> CodeSource:
        check_bits(name, activation.bits, "activations")
        return CodeSource(name, activation.unit(), activation.bits, activation.signed)

    def _channels(self, stream: StreamSource) -> int:
        layer = next(layer for layer in self.layers if layer.name == stream.name)
        assert isinstance(layer, Convolution)
        return layer.out_channels


def _normalized(
    layer: NormalizedLayer, weight: FoldedWeight
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(slope, intercept) [out]: the normalized value of a sum is slope * sum + intercept."""
    gamma, beta, mean, deviation = affine_of(layer.normalization)
    return gamma / deviation * weight.unit, beta - gamma * mean / deviation
