"""Operators of int8 files that compute on quantized tensors, in ONNX's QDQ form.

ONNX's QLinearConv and QLinearMatMul, and those of ONNX Runtime's domain that its quantizer writes
beside them, are an operator between DequantizeLinear and QuantizeLinear; written so, one pass finds
both forms. ONNX Runtime puts the one form in the place of the other as well.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.foreign.graph import attributes, describe

_MICROSOFT = "com.microsoft"
_OPERATORS = {
    ("", "QLinearConv"): "Conv",
    ("", "QLinearMatMul"): "MatMul",
    (_MICROSOFT, "QGemm"): "Gemm",
    (_MICROSOFT, "QLinearAdd"): "Add",
    (_MICROSOFT, "QLinearMul"): "Mul",
    (_MICROSOFT, "QLinearGlobalAveragePool"): "GlobalAveragePool",
}


def lower_qlinear(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with operators on quantized tensors between dequantization and quantization.

    Raises UnsupportedOperatorError for a scale that is no constant.
    """
    if not any((node.domain, node.op_type) in _OPERATORS for node in model.graph.node):
        return model
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    del lowered.graph.node[:]
    for index, node in enumerate(model.graph.node):
        operator = _OPERATORS.get((node.domain, node.op_type))
        if operator is None:
            lowered.graph.node.append(node)
        else:
            lowered.graph.node.extend(_Lowering(node, operator, index, constants).nodes())
    return lowered


class _Lowering:
    def __init__(
        self, node: onnx.NodeProto, operator: str, index: int, constants: Mapping[str, NDArray[Any]]
    ) -> None:
        self._node, self._operator, self._constants = node, operator, constants
        self._prefix = f"{node.output[0]}.{index}"
        self._nodes: list[onnx.NodeProto] = []
        self._count = 0

    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes in the place of this one."""
        node, operator = self._node, self._operator
        inputs = [*node.input, "", "", ""]
        values = attributes(node)
        if operator == "GlobalAveragePool":
            if values.pop("channels_last", 0):
                raise UnsupportedOperatorError(f"{describe(node)} has its channels last")
            real, output = [self._dequantized(inputs[0], inputs[1], inputs[2])], inputs[3:5]
        else:
            axis = {"Conv": 0, "MatMul": 1, "Gemm": 0 if values.get("transB", 0) else 1}
            first = self._dequantized(inputs[0], inputs[1], inputs[2])
            second = self._dequantized(inputs[3], inputs[4], inputs[5], axis.get(operator))
            real = [first, second]
            place = 8 if operator == "Conv" else 6
            bias = inputs[place] if operator in ("Conv", "Gemm") else ""
            if bias:
                real.append(self._bias(bias, inputs[1], inputs[4]))
            output = inputs[7:9] if operator == "Gemm" else inputs[6:8]
        if not output[0]:  # QGemm may give float32
            self._add(operator, real, node.output[0], **values)
            return self._nodes
        result = self._add(operator, real, **values)
        self._add("QuantizeLinear", [result, *self._single(output)], node.output[0])
        return self._nodes

    def _dequantized(self, x: str, scale: str, zero: str, axis: int | None = None) -> str:
        """``x`` in float32; ``axis`` is that of its scales, where there are several."""
        if axis is None or self._size(scale) == 1:
            return self._add("DequantizeLinear", [x, *self._single([scale, zero])])
        if zero and self._size(zero) == 1:
            zeros = np.broadcast_to(self._constants[zero].reshape(-1), self._size(scale))
            zero = self._constant(np.ascontiguousarray(zeros))
        return self._add("DequantizeLinear", [x, scale, zero], axis=axis)

    def _bias(self, bias: str, x_scale: str, scale: str) -> str:
        """int32 in units of the product of both scales."""
        self._size(x_scale), self._size(scale)  # they are constants
        product = np.float32(self._constants[x_scale].reshape(-1)[0]) * self._constants[scale]
        several = product.size > 1
        name = self._constant(product.reshape(-1) if several else product.reshape(()))
        axis: dict[str, Any] = {"axis": 0} if several else {}
        return self._add("DequantizeLinear", [bias, name], **axis)

    def _single(self, tensors: list[str]) -> list[str]:
        """Constants of one element as scalars, which the standard asks for."""
        scalars = []
        for tensor in filter(None, tensors):
            if self._size(tensor) != 1:
                raise UnsupportedOperatorError(
                    f"{describe(self._node)} has scales of an unsupported kind"
                )
            scalars.append(self._constant(self._constants[tensor].reshape(())))
        return scalars

    def _size(self, tensor: str) -> int:
        if tensor not in self._constants:
            raise UnsupportedOperatorError(
                f"a scale of {describe(self._node)} is computed; it must be a constant of the file"
            )
        return int(self._constants[tensor].size)

    def _constant(self, value: NDArray[Any]) -> str:
        tensor = numpy_helper.from_array(np.asarray(value))
        return self._add("Constant", [], value=tensor)

    def _add(self, operator: str, inputs: list[str], output: str = "", **values: Any) -> str:
        name = f"{self._prefix}.{self._count}"
        self._count += 1
        output = output or name
        self._nodes.append(helper.make_node(operator, inputs, [output], name=name, **values))
        return output
