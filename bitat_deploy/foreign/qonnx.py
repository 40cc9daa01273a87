"""QONNX's quantizers, written out in standard operators.

QONNX (Pappalardo et al., arXiv 2206.07527, section 5) keeps quantized tensors in float32:
``Quant`` is (clip(round(x / scale + zero_point), min, max) - zero_point) scale, ``BipolarQuant``
scale where x >= 0 and -scale elsewhere. min and max follow from ``bit_width``, ``signed`` and
``narrow``, for which 2^bits - 1 values remain.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.foreign.graph import attributes, describe

# Brevitas and FINN have used all three; the operators are the same.
DOMAINS = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
_ROUNDINGS = {"ROUND": "Round", "CEIL": "Ceil", "FLOOR": "Floor"}


def lower_qonnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its ``Quant`` and ``BipolarQuant`` nodes in standard operators.

    Raises UnsupportedOperatorError for another operator of these domains, a rounding mode that
    is not known, or a bit width that is no constant.
    """
    if not any(node.domain in DOMAINS for node in model.graph.node):
        return model
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    constants = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type != onnx.TensorProto.STRING
    }
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    del lowered.graph.node[:]
    for index, node in enumerate(model.graph.node):
        lowered.graph.node.extend(_lower(node, index, constants))
    domains = [entry for entry in lowered.opset_import if entry.domain not in DOMAINS]
    del lowered.opset_import[:]
    lowered.opset_import.extend(domains)
    return lowered


def _lower(
    node: onnx.NodeProto, index: int, constants: Mapping[str, NDArray[Any]]
) -> list[onnx.NodeProto]:
    if node.domain not in DOMAINS:
        return [node]
    builder = _Builder(f"{node.output[0]}.{index}")
    if node.op_type == "BipolarQuant":
        x, scale = node.input
        reached = builder.add("GreaterOrEqual", x, builder.constant(0.0))
        sign = builder.add("Where", reached, builder.constant(1.0), builder.constant(-1.0))
        return builder.finish("Mul", sign, scale, output=node.output[0])
    if node.op_type != "Quant":
        raise UnsupportedOperatorError(
            f"{describe(node)} is not supported; of QONNX there are Quant and BipolarQuant"
        )
    x, scale, zero_point, bit_width = node.input
    if bit_width not in constants:
        raise UnsupportedOperatorError(
            f"the bit width of {describe(node)} is computed; it must be a constant of the file"
        )
    lowest, highest, rounding = _range(node, float(constants[bit_width].reshape(-1)[0]))
    scaled = builder.add("Div", x, scale)
    shifted = builder.add("Add", scaled, zero_point)
    rounded = builder.add(rounding, shifted)
    clipped = builder.add("Clip", rounded, builder.constant(lowest), builder.constant(highest))
    level = builder.add("Sub", clipped, zero_point)
    return builder.finish("Mul", level, scale, output=node.output[0])


def _range(node: onnx.NodeProto, bits: float) -> tuple[float, float, str]:
    """Lowest and highest level, and the operator that rounds."""
    values = attributes(node)
    mode = str(values.get("rounding_mode", "ROUND")).upper()
    if mode not in _ROUNDINGS:
        raise UnsupportedOperatorError(
            f"{describe(node)} has rounding mode '{mode}'; supported are {', '.join(_ROUNDINGS)}"
        )
    signed, narrow = bool(values.get("signed", 1)), bool(values.get("narrow", 0))
    if signed:
        highest = 2.0 ** (bits - 1) - 1
        return -highest - (0 if narrow else 1), highest, _ROUNDINGS[mode]
    return 0.0, 2.0**bits - 1 - narrow, _ROUNDINGS[mode]


class _Builder:
    """Makes nodes and tensors whose names begin with that of the node that they replace."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._nodes: list[onnx.NodeProto] = []

    def constant(self, value: float) -> str:
        name = f"{self._prefix}.{len(self._nodes)}"
        tensor = numpy_helper.from_array(np.array(value, np.float32), name)
        self._nodes.append(helper.make_node("Constant", [], [name], name=name, value=tensor))
        return name

    def add(self, operator: str, *inputs: str) -> str:
        name = f"{self._prefix}.{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name=name))
        return name

    def finish(self, operator: str, *inputs: str, output: str) -> list[onnx.NodeProto]:
        self._nodes.append(helper.make_node(operator, list(inputs), [output], name=self._prefix))
        return self._nodes
