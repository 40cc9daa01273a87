"""The float32 twin of a binarized network: an ordinary MobileNet of the same shapes.

Each of our layers becomes what it would be without binarization: a convolution with bias, into
which batch normalisation is folded, and ReLU. The weights are our network's own signs and integers,
scaled so that activations neither grow nor vanish (He et al. 2015, equation 10), biases are 0. The
pictures' division by 255 is folded into the first layer.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.network import (
    IMAGE,
    Convolution,
    GlobalSum,
    IntegerNetwork,
    Layer,
    OutputStage,
    Quantize,
    QuantizedDense,
    Requantize,
)
from bitat_deploy.onnx_format import IR_VERSION, OPSET

INPUT, REAL_INPUT, OUTPUT = "image", "image_float32", "logits"

# The quantizer asks for a model with known shapes; what else its preparation would do is done.
_PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}


def float32_twin(network: IntegerNetwork) -> onnx.ModelProto:
    """From ``image`` uint8 [1, C, H, W] to ``logits`` float32 [1, classes].

    Channels come first, which ONNX Runtime prefers. Raises UnsupportedOperatorError where a layer
    has no counterpart, or reads another than the one before it.
    """
    chain = _Chain()
    chain.append("Cast", output=REAL_INPUT, to=TensorProto.FLOAT)
    before = IMAGE
    for layer in network.layers:
        if layer.input != before or not _append_layer(chain, layer):
            raise UnsupportedOperatorError(
                f"layer '{layer.name}' ({type(layer).__name__}) has no counterpart in a float32 "
                "chain, so there is no baseline; leave out --baseline"
            )
        before = layer.name
    height, width, channels = network.input_shape
    image = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [1, channels, height, width])
    logits = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None)
    twin = helper.make_model(
        helper.make_graph(chain.finish(), network.name, [image], [logits], chain.initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="bitat-deploy",
    )
    helper.set_model_props(twin, _PREPARED)
    return onnx.shape_inference.infer_shapes(twin, strict_mode=True)


def _append_layer(chain: "_Chain", layer: Layer) -> bool:
    """Append the counterpart of ``layer``, if it has one."""
    if isinstance(layer, Convolution) and _gives_activations(layer.output):
        filters = unit_rows(layer.weight.transpose(0, 3, 1, 2))
        if layer.input == IMAGE:
            filters = filters / np.float32(255)
        chain.convolve(
            filters,
            strides=[layer.stride] * 2,
            pads=[layer.padding] * 4,
            dilations=[layer.dilation] * 2,
            group=layer.groups,
        )
    elif isinstance(layer, GlobalSum):
        chain.append("GlobalAveragePool")
        chain.append("Flatten")
    elif isinstance(layer, QuantizedDense):
        chain.append("Gemm", *chain.weights(unit_rows(layer.weight)), transB=1)
    else:
        return False
    return True


def _gives_activations(stage: OutputStage) -> bool:
    """Whether codes or bytes follow the sums, and nothing is added to them."""
    if isinstance(stage, Requantize):
        return stage.shortcut is None and stage.dtype != "int16"
    return isinstance(stage, Quantize)


def unit_rows(weight: NDArray[Any]) -> NDArray[np.float32]:
    """``weight`` [O, ...], each output's scaled to a sum of squares of 2: before ReLU."""
    real = weight.astype(np.float32)
    norm = np.sqrt(np.square(real).sum(axis=tuple(range(1, real.ndim)), keepdims=True))
    scaled: NDArray[np.float32] = real * (np.float32(2**0.5) / np.maximum(norm, 1))
    return scaled


class _Chain:
    """Nodes one after the other."""

    def __init__(self) -> None:
        self.initializers: list[onnx.TensorProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._current = INPUT

    def append(self, operator: str, *constants: str, output: str = "", **attributes: Any) -> None:
        name = f"node{len(self._nodes)}"
        inputs, outputs = [self._current, *constants], [output or f"{name}.output"]
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        self._current = outputs[0]

    def convolve(self, filters: NDArray[np.float32], **attributes: Any) -> None:
        constants = self.weights(filters)
        self.append("Conv", *constants, kernel_shape=filters.shape[2:], **attributes)
        self.append("Relu")

    def weights(self, weight: NDArray[np.float32]) -> tuple[str, str]:
        name = f"node{len(self._nodes)}"
        bias = np.zeros(len(weight), np.float32)
        arrays = {f"{name}.weight": np.ascontiguousarray(weight), f"{name}.bias": bias}
        self.initializers += [numpy_helper.from_array(array, key) for key, array in arrays.items()]
        return f"{name}.weight", f"{name}.bias"

    def finish(self) -> list[onnx.NodeProto]:
        """All nodes; the last one's output is the graph's."""
        self._nodes[-1].output[0] = OUTPUT
        return self._nodes
