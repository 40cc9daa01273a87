"""The twins of a network from elsewhere: the file itself, and what becomes of it in the other type.

A file in float32 is its own float32 twin; the int8 twin is what ONNX Runtime's quantizer makes of
it. A file with QuantizeLinear is its own int8 twin; the float32 twin is the file without them.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bitat_deploy.baseline.float32 import INPUT, PREPARED

_LAST = f"{INPUT}_channels_last"


def channels_first(source: onnx.ModelProto) -> onnx.ModelProto:
    """``source``, from ``image`` uint8 [1, H, W, C], as a model of [1, C, H, W]."""
    model = onnx.ModelProto()
    model.CopyFrom(source)
    graph = model.graph
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == INPUT:
                node.input[index] = _LAST
    _, height, width, channels = (
        one.dim_value for one in graph.input[0].type.tensor_type.shape.dim
    )
    shape = [1, channels, height, width]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape))
    first = helper.make_node("Transpose", [INPUT], [_LAST], name=_LAST, perm=[0, 2, 3, 1])
    graph.node.insert(0, first)
    return with_shapes(model)


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with the shapes that the quantizer asks for."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    helper.set_model_props(
        inferred, {entry.key: entry.value for entry in inferred.metadata_props} | PREPARED
    )
    return inferred


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether the file computes in 8 bits."""
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def without_quantization(model: onnx.ModelProto) -> onnx.ModelProto:
    """A quantized model in float32: what was quantized in it stays as it is.

    Where a zero point of 0 cut off what is negative, ReLU does.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    constants = {one.name: one for one in result.graph.initializer}
    real: set[str] = set()  # tensors of bytes before, float32 now
    nodes, stored = [], []  # ONNX Runtime would compute stored weights anew in each run
    for node in result.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants:
            relu = _cuts_at_zero(node, constants)
            kind = "Relu" if relu else "Identity"
            nodes.append(helper.make_node(kind, node.input[:1], node.output, name=node.name))
            real.update(node.output)
        elif node.op_type == "DequantizeLinear" and node.input[0] in real:
            nodes.append(helper.make_node("Identity", node.input[:1], node.output, name=node.name))
        elif node.op_type == "DequantizeLinear" and set(node.input) <= set(constants):
            stored.append(numpy_helper.from_array(_dequantized(node, constants), node.output[0]))
        else:
            nodes.append(node)
            if real & set(node.input):  # such as a MaxPool of bytes
                real.update(node.output)
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(stored)
    del result.graph.value_info[:]
    return with_shapes(result)


def _dequantized(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> NDArray[np.float32]:
    values, scale, *zero = (numpy_helper.to_array(constants[name]) for name in node.input)
    shape = [1] * values.ndim
    if scale.ndim:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        shape[axis] = -1
    point = zero[0].astype(np.int64).reshape(shape) if zero else 0
    real: NDArray[np.float32] = (values - point).astype(np.float32) * scale.reshape(shape)
    return real


def _cuts_at_zero(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    if len(node.input) < 3 or node.input[2] not in constants:
        return False
    zero = numpy_helper.to_array(constants[node.input[2]])
    return bool(zero.dtype.kind == "u" and not zero.any())
