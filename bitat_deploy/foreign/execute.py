"""Runs a few nodes on their own in stock ONNX Runtime."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bitat_deploy.foreign.graph import IR_VERSION


class Subgraph:
    """Nodes with their constants, from the tensors ``inputs`` to the tensors ``outputs``.

    ``inputs`` gives each tensor's numpy dtype; shapes are free.
    ``optimize`` lets ONNX Runtime rearrange the nodes, which may round differently.
    """

    def __init__(
        self,
        nodes: Iterable[onnx.NodeProto],
        constants: Mapping[str, NDArray[Any]],
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        opset: int,
        optimize: bool = False,
    ) -> None:
        nodes = list(nodes)
        read = {tensor for node in nodes for tensor in node.input}
        graph = helper.make_graph(
            nodes,
            "subgraph",
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None
                )
                for name, dtype in inputs.items()
            ],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [numpy_helper.from_array(constants[key], key) for key in constants if key in read],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION
        )
        self._session = session(model.SerializeToString(), optimize)
        self._outputs = list(outputs)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs' values."""
        values: list[NDArray[Any]] = self._session.run(self._outputs, dict(feeds))
        return values


def session(model: bytes, optimize: bool = True) -> Any:
    """A quiet session of ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
