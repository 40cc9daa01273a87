"""The float32 and int8 twins of a network as LiteRT's flatbuffers.

The same layers as those of :mod:`bitat_deploy.baseline.float32`, with the same weights,
written from the network's records without a converter. Channels come last, as LiteRT wants them. It
pads to the same output sizes by its own rule (SAME), which at even sizes and stride 2 pads only
below and right.

The int8 twin has int8 activations and weights with a scale for each channel, as LiteRT's own
quantization has. Its activations' scales are guesses: they do not change the time it takes.

Needs the packages ai-edge-litert, which carries the schema, and flatbuffers.
"""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from bitat_deploy.baseline import unit_rows
from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.network import (
    IMAGE,
    Convolution,
    GlobalSum,
    IntegerNetwork,
    Layer,
    Quantize,
    QuantizedDense,
    Requantize,
)

_TYPES = {
    "uint8": schema.TensorType.UINT8,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
    "float32": schema.TensorType.FLOAT32,
}
_SCHEMA_VERSION = 3
_IDENTIFIER = b"TFL3"

_ACTIVATION_SCALE = 6 / 255
_LOWEST = -128  # the int8 that stands for 0 after ReLU


def litert_twin(network: IntegerNetwork, quantized: bool) -> bytes:
    """From the image uint8 [1, H, W, C] to logits float32 [1, classes].

    Raises UnsupportedOperatorError where a layer has no counterpart, or reads another than the
    one before it.
    """
    chain = _Int8Chain(network) if quantized else _Chain(network)
    before = IMAGE
    for layer in network.layers:
        if layer.input != before or not _append_layer(chain, layer):
            raise UnsupportedOperatorError(
                f"layer '{layer.name}' ({type(layer).__name__}) has no counterpart in LiteRT's twin"
            )
        before = layer.name
    return chain.finish(network.name)


def _append_layer(chain: "_Chain", layer: Layer) -> bool:
    """Append the counterpart of ``layer``, if it has one."""
    if isinstance(layer, Convolution) and isinstance(layer.output, Quantize | Requantize):
        weight = unit_rows(layer.weight)
        if layer.input == IMAGE:
            weight = weight / np.float32(255)
        chain.convolve(layer, weight)
    elif isinstance(layer, GlobalSum):
        chain.mean()
    elif isinstance(layer, QuantizedDense):
        chain.dense(unit_rows(layer.weight))
    else:
        return False
    return True


class _Chain:
    """Operators one after the other, in float32."""

    def __init__(self, network: IntegerNetwork) -> None:
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # the first one is empty by definition
        self._operators: list[Any] = []
        self._codes: list[int] = []
        self._formats = network.formats()
        self._image = self._tensor((1, *network.input_shape), "uint8")
        self._current = self._image
        self._shape: tuple[int, ...] = (1, *network.input_shape)
        self._start()

    def convolve(self, layer: Convolution, weight: NDArray[np.float32]) -> None:
        """``weight`` is [out, k, k, in / groups]."""
        height, width, channels = self._formats[layer.name].shape
        options: Any
        if layer.depthwise:
            code, options = schema.BuiltinOperator.DEPTHWISE_CONV_2D, schema.DepthwiseConv2DOptionsT
            options = options(depthMultiplier=1)
            kind = schema.BuiltinOptions.DepthwiseConv2DOptions
            weight = np.ascontiguousarray(weight.transpose(3, 1, 2, 0))
        else:
            code, options = schema.BuiltinOperator.CONV_2D, schema.Conv2DOptionsT()
            kind = schema.BuiltinOptions.Conv2DOptions
        options.padding = schema.Padding.SAME if layer.padding else schema.Padding.VALID
        options.strideH = options.strideW = layer.stride
        options.dilationHFactor = options.dilationWFactor = layer.dilation
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU
        constants = self._weights(weight, axis=3 if layer.depthwise else 0)
        self._append(code, constants, (1, height, width, channels), options, kind)

    def mean(self) -> None:
        """Global average pooling."""
        axes = self._constant(np.array([1, 2], np.int32))
        options, kind = schema.ReducerOptionsT(), schema.BuiltinOptions.ReducerOptions
        shape = (1, self._shape[3])
        self._append(schema.BuiltinOperator.MEAN, [axes], shape, options, kind)

    def dense(self, weight: NDArray[np.float32]) -> None:
        """``weight`` is [out, in]."""
        options = schema.FullyConnectedOptionsT()
        kind = schema.BuiltinOptions.FullyConnectedOptions
        constants = self._weights(weight, axis=0)
        shape = (1, len(weight))
        output = self._output(shape, signed=True)
        code = schema.BuiltinOperator.FULLY_CONNECTED
        self._append(code, constants, shape, options, kind, output)

    def finish(self, name: str) -> bytes:
        """The file."""
        self._end()
        graph = schema.SubGraphT(
            tensors=self._tensors,
            inputs=[self._image],
            outputs=[self._current],
            operators=self._operators,
            name=name.encode(),
        )
        codes = [
            schema.OperatorCodeT(
                deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=self._version(code)
            )
            for code in self._codes
        ]
        model = schema.ModelT(
            version=_SCHEMA_VERSION,
            operatorCodes=codes,
            subgraphs=[graph],
            description=b"bitat-deploy",
            buffers=self._buffers,
        )
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _start(self) -> None:
        options, kind = schema.CastOptionsT(), schema.BuiltinOptions.CastOptions
        self._append(schema.BuiltinOperator.CAST, [], self._shape, options, kind)

    def _end(self) -> None:
        """The logits are float32 already."""

    def _version(self, code: int) -> int:
        return 1

    def _weights(self, weight: NDArray[np.float32], axis: int) -> list[int]:
        bias = np.zeros(weight.shape[axis], np.float32)
        return [self._constant(weight), self._constant(bias)]

    def _output(self, shape: tuple[int, ...], signed: bool = False) -> int:
        return self._tensor(shape, "float32")

    def _append(
        self,
        code: int,
        constants: list[int],
        shape: tuple[int, ...],
        options: Any = None,
        kind: int = 0,
        output: int | None = None,
    ) -> None:
        """Add an operator that reads the current tensor and ``constants``."""
        if code not in self._codes:
            self._codes.append(code)
        inputs = [self._current, *constants]
        self._current = self._output(shape) if output is None else output
        self._shape = shape
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=self._codes.index(code),
                inputs=inputs,
                outputs=[self._current],
                builtinOptionsType=kind,
                builtinOptions=options,
            )
        )

    def _tensor(
        self, shape: tuple[int, ...], dtype: str, buffer: int = 0, quantization: Any = None
    ) -> int:
        name = f"tensor{len(self._tensors)}".encode()
        self._tensors.append(
            schema.TensorT(
                shape=list(shape),
                type=_TYPES[dtype],
                buffer=buffer,
                name=name,
                quantization=quantization,
            )
        )
        return len(self._tensors) - 1

    def _constant(self, array: NDArray[Any], quantization: Any = None) -> int:
        content = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self._buffers.append(schema.BufferT(data=content))
        return self._tensor(array.shape, array.dtype.name, len(self._buffers) - 1, quantization)


class _Int8Chain(_Chain):
    """Operators one after the other, in int8."""

    def _start(self) -> None:
        """The picture's bytes, less 128."""
        image = self._tensors[self._image]
        image.quantization = _quantization([1.0], [0])
        self._input_scale = 1.0
        output = self._tensor(self._shape, "int8", quantization=_quantization([1.0], [_LOWEST]))
        options, kind = schema.QuantizeOptionsT(), schema.BuiltinOptions.QuantizeOptions
        self._append(schema.BuiltinOperator.QUANTIZE, [], self._shape, options, kind, output)

    def _end(self) -> None:
        output = self._tensor(self._shape, "float32")
        options, kind = schema.DequantizeOptionsT(), schema.BuiltinOptions.DequantizeOptions
        self._append(schema.BuiltinOperator.DEQUANTIZE, [], self._shape, options, kind, output)

    def _version(self, code: int) -> int:
        """The first version that takes int8."""
        return {
            schema.BuiltinOperator.CONV_2D: 3,
            schema.BuiltinOperator.DEPTHWISE_CONV_2D: 3,
            schema.BuiltinOperator.FULLY_CONNECTED: 4,
        }.get(code, 2)

    def _weights(self, weight: NDArray[np.float32], axis: int) -> list[int]:
        others = tuple(i for i in range(weight.ndim) if i != axis)
        scale = np.maximum(np.abs(weight).max(axis=others, keepdims=True), 1e-6) / 127
        integers = np.round(weight / scale).astype(np.int8)
        scales = scale.ravel().astype(np.float64)
        zeros = [0] * len(scales)
        bias = np.zeros(len(scales), np.int32)
        bias_scales = [self._input_scale * float(value) for value in scales]
        self._input_scale = _ACTIVATION_SCALE
        return [
            self._constant(integers, _quantization([float(s) for s in scales], zeros, axis)),
            self._constant(bias, _quantization(bias_scales, zeros)),
        ]

    def _output(self, shape: tuple[int, ...], signed: bool = False) -> int:
        zero = 0 if signed else _LOWEST
        return self._tensor(shape, "int8", quantization=_quantization([_ACTIVATION_SCALE], [zero]))


def _quantization(scales: list[float], zero_points: list[int], axis: int = 0) -> Any:
    return schema.QuantizationParametersT(
        scale=scales, zeroPoint=zero_points, quantizedDimension=axis
    )
