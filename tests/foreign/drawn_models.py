"""Small ONNX networks as other tools spell them, with drawn weights."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, int, int]


class Model:
    """Appends nodes to a chain; ``current`` is the tensor that the next one reads."""

    def __init__(self, shape: Shape = (3, 12, 12), seed: int = 0, opset: int = 17) -> None:
        self.random = np.random.default_rng(seed)
        self.current = "x"
        self.channels = shape[0]
        self._shape = shape
        self._opset = opset
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._domains: set[str] = set()

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def add(
        self,
        operator: str,
        *inputs: str,
        domain: str = "",
        further_outputs: tuple[str, ...] = (),
        **attributes: Any,
    ) -> str:
        """A node that reads ``inputs``, or what is current."""
        name = f"{operator.lower()}{len(self._nodes)}"
        self._domains.add(domain)
        inputs = inputs or (self.current,)
        outputs = [name, *further_outputs]
        self._nodes.append(
            helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes)
        )
        self.current = name
        return name

    def conv(
        self,
        out: int,
        kernel: int = 3,
        weight: np.ndarray | None = None,
        bias: bool = False,
        **attributes: Any,
    ) -> str:
        """Drawn float weights, unless there are some, and drawn biases where they are asked for."""
        groups = attributes.get("group", 1)
        shape = (out, self.channels // groups, kernel, kernel)
        if weight is None:
            weight = self.random.normal(0, 0.5, shape)
        assert weight.shape == shape
        self.channels = out
        constants = [weight, self.random.normal(0, 0.5, out)] if bias else [weight]
        return self.add("Conv", self.current, *map(self.constant, constants), **attributes)

    def binary_weight(self, out: int, kernel: int, groups: int = 1) -> np.ndarray:
        """+-a with another a for each output."""
        shape = (out, self.channels // groups, kernel, kernel)
        scale = self.random.uniform(0.05, 0.3, (out, 1, 1, 1)).astype(np.float32)
        return self.random.choice([-1, 1], shape).astype(np.float32) * scale

    def binary_conv(self, out: int, kernel: int = 3, **attributes: Any) -> str:
        weight = self.binary_weight(out, kernel, attributes.get("group", 1))
        return self.conv(out, kernel, weight, **attributes)

    def normalize(self) -> str:
        """Batch normalisation with scales of both signs."""
        n = self.channels
        scale = self.random.normal(0, 1, n)
        tensors = (scale, self.random.normal(0, 0.5, n), self.random.normal(0, 0.5, n))
        variance = self.random.uniform(0.5, 2, n)
        constants = [self.constant(value) for value in (*tensors, variance)]
        return self.add("BatchNormalization", self.current, *constants)

    def where_sign(self, condition: str = "GreaterOrEqual", swap: bool = False) -> str:
        """Where(x >= 0, 1, -1), or the like."""
        reached = self.add(condition, self.current, self.constant(0))
        values = [self.constant(1), self.constant(-1)]
        return self.add("Where", reached, *(reversed(values) if swap else values))

    def classify(self, classes: int = 10) -> "Model":
        """Global average and a float classifier."""
        self.add("GlobalAveragePool")
        self.add("Flatten")
        weight = self.constant(self.random.normal(0, 1, (classes, self.channels)))
        bias = self.constant(self.random.normal(0, 1, classes))
        self.add("Gemm", self.current, weight, bias, transB=1)
        return self

    def proto(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes,
            "drawn",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *self._shape])],
            [helper.make_tensor_value_info(self.current, TensorProto.FLOAT, ["N", "C"])],
            self._constants,
        )
        opsets = [helper.make_opsetid("", self._opset)]
        opsets += [helper.make_opsetid(domain, 1) for domain in self._domains if domain]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def save(self, folder: Path) -> Path:
        path = folder / "drawn.onnx"
        onnx.save(self.proto(), path)
        return path
