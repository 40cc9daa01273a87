"""The float32 twin of a network of ours: an ordinary network of the same shapes.

Each layer becomes what it would be without quantization: a convolution with bias, into which batch
normalisation is folded; ReLU where codes, unsigned bytes or RPReLU follow; additions, poolings and
the classifier as they are. The weights are our network's own signs and integers, scaled so that
activations neither grow nor vanish (He et al. 2015, equation 10), biases are 0. The pictures'
division by 255 is folded into the layers that read the image.
"""

import dataclasses
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bitat_deploy.network import (
    IMAGE,
    AveragePoolStream,
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
)
from bitat_deploy.onnx_format import IR_VERSION, OPSET

INPUT, REAL_INPUT, OUTPUT = "image", "image_float32", "logits"

# The quantizer asks for a model with known shapes; what else its preparation would do is done.
PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}


def float32_twin(network: IntegerNetwork) -> onnx.ModelProto:
    """From ``image`` uint8 [1, C, H, W] to ``logits`` float32 [1, classes].

    Channels come first, which ONNX Runtime prefers.
    """
    nodes = _Nodes(network.input_shape[2])
    for layer in network.layers:
        nodes.append_layer(layer)
    height, width, channels = network.input_shape
    image = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [1, channels, height, width])
    logits = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None)
    twin = helper.make_model(
        helper.make_graph(nodes.finish(), network.name, [image], [logits], nodes.initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="bitat-deploy",
    )
    helper.set_model_props(twin, PREPARED)
    return onnx.shape_inference.infer_shapes(twin, strict_mode=True)


def unit_rows(weight: NDArray[Any]) -> NDArray[np.float32]:
    """``weight`` [O, ...], each output's scaled to a sum of squares of 2: before ReLU."""
    real = weight.astype(np.float32)
    norm = np.sqrt(np.square(real).sum(axis=tuple(range(1, real.ndim)), keepdims=True))
    scaled: NDArray[np.float32] = real * (np.float32(2**0.5) / np.maximum(norm, 1))
    return scaled


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """What a layer reads: the tensor's name in the twin, and its channels."""

    name: str
    channels: int


class _Nodes:
    """The twin's nodes, and the tensor that each of our layers becomes."""

    def __init__(self, channels: int) -> None:
        self.initializers: list[onnx.TensorProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._tensors = {IMAGE: _Tensor(REAL_INPUT, channels)}
        cast = helper.make_node("Cast", [INPUT], [REAL_INPUT], name="node0", to=TensorProto.FLOAT)
        self._nodes.append(cast)

    def append_layer(self, layer: Layer) -> None:
        """Append the counterpart of ``layer``."""
        tensor = self._tensors[layer.input]
        if isinstance(layer, Convolution):
            tensor = self._output(self._convolution(layer, tensor), layer.output)
        elif isinstance(layer, QuantizeStream):
            tensor = self._output(tensor, layer.output)
        elif isinstance(layer, AveragePoolStream):
            window = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}
            tensor = self._append("AveragePool", tensor, **window)
        elif isinstance(layer, MaxPool):
            window = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2}
            tensor = self._append("MaxPool", tensor, pads=[layer.padding] * 4, **window)
        elif isinstance(layer, GlobalSum):
            tensor = self._append("Flatten", self._append("GlobalAveragePool", tensor))
        else:
            assert isinstance(layer, QuantizedDense)
            constants = self._weights(unit_rows(layer.weight))
            tensor = self._append("Gemm", tensor, *constants, transB=1)
        self._tensors[layer.name] = tensor

    def finish(self) -> list[onnx.NodeProto]:
        """All nodes; the last one's output is the graph's."""
        self._nodes[-1].output[0] = OUTPUT
        return self._nodes

    def _convolution(self, layer: Convolution, read: _Tensor) -> _Tensor:
        filters = unit_rows(layer.weight.transpose(0, 3, 1, 2))
        if layer.input == IMAGE:
            filters = filters / np.float32(255)
        rows, columns = layer.paddings
        output = self._append(
            "Conv",
            read,
            *self._weights(filters),
            kernel_shape=list(layer.kernels),
            strides=[layer.stride] * 2,
            pads=[rows, columns] * 2,
            dilations=[layer.dilation] * 2,
            group=layer.groups,
        )
        return _Tensor(output.name, layer.out_channels)

    def _output(self, sums: _Tensor, stage: OutputStage) -> _Tensor:
        """``sums`` after the shortcut and the activation of ``stage``."""
        rectified = isinstance(stage, Quantize)
        if isinstance(stage, Requantize):
            rectified = stage.dtype == "uint8" or stage.activation is not None
            if stage.shortcut is not None:
                sums = self._append("Add", sums, self._repeated(stage.shortcut, sums.channels))
        is_rectified = self._nodes[-1].op_type == "Relu" and self._nodes[-1].output[0] == sums.name
        return self._append("Relu", sums) if rectified and not is_rectified else sums

    def _repeated(self, layer: str, channels: int) -> str:
        """A layer's tensor, repeated until it has so many channels."""
        tensor = self._tensors[layer]
        copies = channels // tensor.channels
        if copies == 1:
            return tensor.name
        return self._append("Concat", tensor, *[tensor.name] * (copies - 1), axis=1).name

    def _append(self, operator: str, read: _Tensor, *constants: str, **attributes: Any) -> _Tensor:
        name = f"node{len(self._nodes)}"
        inputs, output = [read.name, *constants], f"{name}.output"
        self._nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return _Tensor(output, read.channels)

    def _weights(self, weight: NDArray[np.float32]) -> tuple[str, str]:
        name = f"node{len(self._nodes)}"
        bias = np.zeros(len(weight), np.float32)
        arrays = {f"{name}.weight": np.ascontiguousarray(weight), f"{name}.bias": bias}
        self.initializers += [numpy_helper.from_array(array, key) for key, array in arrays.items()]
        return f"{name}.weight", f"{name}.bias"
