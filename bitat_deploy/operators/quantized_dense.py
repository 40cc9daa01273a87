"""Classifier: int32 counts times int8 weights plus an int32 bias, times one float scale.

Algebra. logits = float32(x @ weight.T + bias) * scale: the sum is an exact int32; its conversion
and the multiplication round once each, so the result equals numpy's bit for bit.

Layout. Lanes are classes: weights are [vectors][channel][lane], the count is broadcast, nothing is
added across lanes. One widening load, one multiplication and one addition per vector.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.operators.operator import Operator, TensorSpec
from bitat_deploy.operators.vector_code import load, parts, store
from bitat_deploy.target import Target


@dataclass(frozen=True, eq=False)
class QuantizedDense(Operator):
    """Dense layer from int32 [1, channels] to float32 [1, classes].

    ``weight`` int8 [classes, channels]; ``bias`` int32 [classes]; ``scale`` float32.
    """

    kind = "quantized_dense"

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    scale: np.float32
    target: Target

    @property
    def channels(self) -> int:
        """Inputs."""
        return self.weight.shape[1]

    @property
    def classes(self) -> int:
        """Outputs."""
        return self.weight.shape[0]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Counts."""
        return (TensorSpec((1, self.channels), "int32"),)

    @property
    def output(self) -> TensorSpec:
        """Logits."""
        return TensorSpec((1, self.classes), "float32")

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Weights [vectors, channels, lanes], bias [vectors * lanes], scale [1]."""
        lanes = self._lanes
        weight = np.zeros((self._vectors * lanes, self.channels), np.int8)
        weight[: self.classes] = self.weight
        bias = np.zeros(self._vectors * lanes, np.int32)
        bias[: self.classes] = self.bias
        by_vector = weight.reshape(self._vectors, lanes, self.channels).transpose(0, 2, 1)
        return np.ascontiguousarray(by_vector), bias, np.array([self.scale], np.float32)

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """The same in plain numpy."""
        sums = x @ self.weight.astype(np.int32).T + self.bias
        return sums.astype(np.float32) * np.float32(self.scale)

    @property
    def _lanes(self) -> int:
        return self.target.vector_bytes // 4

    @property
    def _vectors(self) -> int:
        return -(-self.classes // self._lanes)

    def emit(self, x: Any, weight: Any, bias: Any, scale: Any, y: Any) -> None:
        """Vector by vector of classes; the last one may be written in part."""
        full, rest = divmod(self.classes, self._lanes)
        if full:
            with parts(full, self.target) as vector:
                logits = self._emit_logits(x, weight, bias, scale, vector)
                store(y, vector * self._lanes, logits, self._lanes)
        if rest:
            logits = self._emit_logits(x, weight, bias, scale, full)
            spill = T.alloc_buffer([self._lanes], "float32")
            store(spill, 0, logits, self._lanes)
            for lane in range(rest):
                T.buffer_store(y, spill[lane], [full * self._lanes + lane])

    def _emit_logits(self, x: Any, weight: Any, bias: Any, scale: Any, vector: Any) -> Any:
        lanes = self._lanes
        sums = T.alloc_buffer([lanes], "int32")
        store(sums, 0, load(bias, vector * lanes, lanes), lanes)
        with T.serial(self.channels) as channel:
            weights = load(weight, (vector * self.channels + channel) * lanes, lanes)
            product = T.broadcast(x[channel], lanes) * T.cast(weights, f"int32x{lanes}")
            store(sums, 0, load(sums, 0, lanes) + product, lanes)
        total = T.cast(load(sums, 0, lanes), f"float32x{lanes}")
        return total * T.broadcast(scale[0], lanes)
