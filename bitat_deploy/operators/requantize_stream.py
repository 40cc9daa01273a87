"""The int16 stream to bytes: clipped, multiplied, shifted, saturated, channel by channel."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import Format, QuantizeStream, Requantize, apply_output_stage
from bitat_deploy.operators.operator import Operator
from bitat_deploy.operators.output_stage import Place, StageCode
from bitat_deploy.operators.vector_code import load, parts
from bitat_deploy.target import Target


class RequantizeStream(Operator):
    """A stream [1, height, width, channels] to bytes of the same shape."""

    kind = "requantize_stream"
    layer: QuantizeStream

    @classmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """All quantizers of a stream to bytes."""
        return isinstance(layer, QuantizeStream) and isinstance(layer.output, Requantize)

    @property
    def stage_code(self) -> StageCode:
        """The stage, of values in int16."""
        lanes = max(self.target.vector_bytes // 2, 8)
        return StageCode(self.layer.output, self.channels, lanes, largest=2**15)

    def constants(self) -> tuple[NDArray[Any], ...]:
        """The output stage's."""
        return self.stage_code.constants()

    def reference(self, x: NDArray[Any]) -> NDArray[np.generic]:
        """By the definition in :mod:`bitat_deploy.network.evaluate`."""
        y = apply_output_stage(self.layer.output, x.astype(np.int64))
        return y.astype(self.output.dtype)

    def emit(self, x: Any, *buffers: Any) -> None:
        """Pixel by pixel, vectors of channels."""
        *constants, y = buffers
        code, channels = self.stage_code, self.channels
        full, left = divmod(channels, code.lanes)

        def emit(pixel: Any, vector: Any, count: int) -> None:
            start = pixel * channels + vector * code.lanes
            whole = count == code.lanes
            value = load(x, start, count) if whole else self._emit_part(x, start, count)
            code.emit(value, Place(pixel, vector, count), tuple(constants), None, y)

        operations = self.height * self.width * code.vectors
        with parts(self.height, self.target, operations) as row, T.serial(self.width) as column:
            pixel = row * self.width + column
            if full:
                with T.serial(full) as vector:
                    emit(pixel, vector, code.lanes)
            if left:
                emit(pixel, full, left)

    def _emit_part(self, x: Any, start: Any, count: int) -> Any:
        """A vector of which only the first ``count`` values may be read."""
        lanes = self.stage_code.lanes
        gathered = T.alloc_buffer([lanes], "int16")
        for lane in range(lanes):
            T.buffer_store(gathered, x[start + min(lane, count - 1)], [lane])
        return load(gathered, 0, lanes)
