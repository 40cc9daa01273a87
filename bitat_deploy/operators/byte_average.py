"""Global average pooling of bytes: int32 sums of the channels, and their output stage.

Lanes are channels, each over all pixels.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import AverageBytes, Format, average_bytes
from bitat_deploy.operators.operator import Operator
from bitat_deploy.operators.output_stage import Place, StageCode
from bitat_deploy.operators.vector_code import load, parts, splat, store, vector_dtype
from bitat_deploy.target import Target


class ByteAverage(Operator):
    """uint8 [1, height, width, channels] to uint8 [1, 1, 1, channels]."""

    kind = "byte_average"
    layer: AverageBytes

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All global averages of bytes."""
        return isinstance(layer, AverageBytes)

    @property
    def stage_code(self) -> StageCode:
        """The stage, of sums in int32."""
        lanes = max(self.target.vector_bytes // 4, 8)
        return StageCode(self.layer.output, self.channels, lanes)

    def constants(self) -> tuple[NDArray[Any], ...]:
        """The output stage's."""
        return self.stage_code.constants()

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """By the definition in :mod:`bitat_deploy.network.byte_layers`."""
        return average_bytes(self.layer, x)

    def emit(self, x: Any, *buffers: Any) -> None:
        """Vector by vector of channels."""
        *constants, y = buffers
        code, channels, pixels = self.stage_code, self.channels, self.height * self.width
        lanes, (full, left) = code.lanes, divmod(channels, code.lanes)

        def emit(vector: Any, count: int) -> None:
            sums = T.alloc_buffer([lanes], "int32")
            store(sums, 0, splat(0, "int32", lanes), lanes)
            with T.serial(pixels) as pixel:
                start = pixel * channels + vector * lanes
                value = load(x, start, lanes) if count == lanes else _part(x, start, count, lanes)
                wide = T.cast(value, vector_dtype("int32", lanes))
                store(sums, 0, load(sums, 0, lanes) + wide, lanes)
            code.emit(load(sums, 0, lanes), Place(0, vector, count), tuple(constants), None, y)

        if full:
            with parts(full, self.target, full * pixels) as vector:
                emit(vector, lanes)
        if left:
            emit(full, left)


def _part(x: Any, start: Any, count: int, lanes: int) -> Any:
    """A vector of which only the first ``count`` values may be read."""
    gathered = T.alloc_buffer([lanes], "uint8")
    for lane in range(lanes):
        T.buffer_store(gathered, x[start + min(lane, count - 1)], [lane])
    return load(gathered, 0, lanes)
