"""What all convolutions share: their windows, and how general ones walk over them.

A *run* is a stretch of a window whose elements are contiguous: a row of taps where there is no
dilation, otherwise one tap. :class:`PaddedCopy` lays the input out so: [plane][group][row][column]
[element] inside of a border.

Pixels are computed in *steps* of a few neighbours in a row; a step at the end of a row is moved
back inside, where it repeats pixels but needs no code of its own. Threads share the steps. Within a
thread's steps tiles of channels are outermost, so that their weights stay in the cache.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import (
    Codes,
    Convolution,
    Quantize,
    Requantize,
    Rescale,
    Sums,
    apply_output_stage,
    convolution_sums,
    pack_codes,
    shape_text,
    unpack_codes,
)
from bitat_deploy.operators.operator import Operator
from bitat_deploy.operators.output_stage import StageCode
from bitat_deploy.operators.vector_code import load, parts, splat, store, stretches

# finish(row, column, vector, count, value): the output stage of a pixel's vector of channels.
Finish = Callable[[Any, Any, Any, int, Any], None]


class ConvolutionOperator(Operator):
    """A convolution and its output stage at a fixed shape."""

    layer: Convolution

    @property
    def reads(self) -> tuple[str, ...]:
        """The image or codes, and the shortcut's stream if there is one."""
        stage = self.layer.output
        shortcut = stage.shortcut if isinstance(stage, Requantize) else None
        return (self.layer.input,) if shortcut is None else (self.layer.input, shortcut)

    @property
    def shortcut_channels(self) -> int:
        """Channels of the stream that the output stage adds; 0 where it adds none."""
        return sum(self.formats[name].shape[-1] for name in self.reads[1:])

    @property
    def group_channels(self) -> int:
        """Channels of the input that an output channel sees."""
        return self.layer.weight.shape[3]

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the output."""
        _, height, width, _ = self.output.shape
        return height, width

    def reference(
        self, x: NDArray[Any], shortcut: NDArray[Any] | None = None
    ) -> NDArray[np.generic]:
        """By the definition in :mod:`bitat_deploy.network.evaluate`."""
        levels = x.astype(np.int64)
        if isinstance(self.source, Codes):
            levels = unpack_codes(x, self.channels, self.source.bits).astype(np.int64)
            if self.source.signed:
                levels = 2 * levels - self.source.top
        sums, stage = convolution_sums(self.layer, levels), self.layer.output
        if isinstance(stage, Quantize):
            codes = apply_output_stage(replace(stage, signed=False), sums)
            return pack_codes(codes, stage.bits)
        wide = None if shortcut is None else shortcut.astype(np.int64)
        return apply_output_stage(stage, sums, wide).astype(self.output.dtype)

    def _workload_details(self) -> tuple[str, ...]:
        layer = self.layer
        details = [
            f"kernel:{layer.kernel if layer.square else shape_text(layer.kernels)}",
            f"stride:{layer.stride}",
            f"padding:{layer.padding}@{layer.padding_level}",
            f"dilation:{layer.dilation}",
            f"groups:{layer.groups}",
            f"weights:{layer.weight_bits}",
        ]
        if isinstance(self.source, Codes):
            details.append(f"codes:{self.source.bits}{'s' if self.source.signed else 'u'}")
            details.append(f"channels:{self.channels}")
        return (*details, self._stage_details())

    def _stage_details(self) -> str:
        stage = self.layer.output
        if isinstance(stage, Quantize):
            return f"quantize:{stage.bits}"
        if isinstance(stage, Sums):
            return "sums"
        if isinstance(stage, Rescale):
            return "rescale"
        words = [f"requantize:{stage.shift}"]
        if stage.shortcut is not None:
            words.append(f"shortcut:{self.shortcut_channels}")
        if stage.activation is not None:
            words.append(f"rprelu:{stage.activation.slope_shift}")
        if stage.clip is not None:
            words.append("clip")
        return "+".join(words)

    @property
    def run_taps(self) -> int:
        """Taps of a run."""
        return self.layer.kernels[1] if self.layer.dilation == 1 else 1

    @property
    def runs(self) -> int:
        """Runs of a window."""
        return self.layer.taps // self.run_taps

    def run_offset(self, run: Any) -> tuple[Any, Any]:
        """Row and column of a run's first tap in its window."""
        width, dilation = self.layer.kernels[1], self.layer.dilation
        if self.run_taps == width:
            return run * dilation, 0
        return run // width * dilation, run % width * dilation

    def _emit_steps(self, pixels: int, emit: Callable[[Any, Any, Any], None]) -> None:
        """Walk over the output: ``emit(begin, end, locate)`` for each thread's part.

        Steps ``begin`` to ``end`` are the part's; ``locate(step)`` gives row and column of a step's
        first pixel.
        """
        height, width = self.out_size
        if self._is_flat:
            height, width = 1, height * width
        steps_per_row = -(-width // pixels)
        steps = height * steps_per_row

        def locate(step: Any) -> tuple[Any, Any]:
            row, index = (0, step) if height == 1 else (step // steps_per_row, step % steps_per_row)
            column = index * pixels
            return row, T.min(column, width - pixels) if width % pixels else column

        with stretches(steps, self.target) as (begin, end):
            emit(begin, end, locate)

    def group_vectors(self, lanes: int) -> int:
        """Vectors of a group's output channels."""
        return -(-self.layer.out_channels // self.layer.groups // lanes)

    def emit_tiles(
        self,
        code: StageCode,
        tile: tuple[int, int],
        emit_values: Callable[[Any, Any, Any, Any, int, int], list[Any]],
        finish: Finish,
    ) -> None:
        """All pixels and channels, in tiles of ``tile`` pixels x vectors of channels.

        ``emit_values(row, column, group, first, pixels, vectors)`` gives a vector of values for
        each pixel from ``column`` on and each of the group's vectors from ``first`` on.
        """
        groups, lanes = self.layer.groups, code.lanes
        out = self.layer.out_channels // groups
        pixels, size = min(tile[0], self.row_width), tile[1]
        full, vectors = out // (size * lanes), self.group_vectors(lanes)

        def for_tiles(emit_tile: Callable[[Any, int], None]) -> None:
            if full:
                with T.serial(full) as index:
                    emit_tile(index * size, size)
            if vectors > full * size:
                emit_tile(full * size, vectors - full * size)

        def emit_part(begin: Any, end: Any, locate: Any) -> None:
            if groups > 1:
                output = GroupedOutput(code, pixels)
                with T.serial(begin, end) as step:
                    row, column = locate(step)
                    with T.serial(groups) as group:

                        def emit_group(first: Any, count: int) -> None:
                            values = emit_values(row, column, group, first, pixels, count)
                            for index, value in enumerate(values):
                                pixel, vector = divmod(index, count)
                                output.put(value, pixel, group * out + (first + vector) * lanes)

                        for_tiles(emit_group)
                    output.emit(lambda pixel, *rest: finish(row, column + pixel, *rest))
                return

            def emit_tile(first: Any, count: int) -> None:
                with T.serial(begin, end) as step:
                    row, column = locate(step)
                    values = emit_values(row, column, 0, first, pixels, count)
                    for index, value in enumerate(values):
                        pixel, number = divmod(index, count)
                        vector, real = first + number, lanes
                        if isinstance(vector, int):
                            real = min(lanes, out - vector * lanes)
                        finish(row, column + pixel, vector, real, value)

            for_tiles(emit_tile)

        self._emit_steps(pixels, emit_part)

    @property
    def _is_flat(self) -> bool:
        """Whether output pixels are input pixels, so that rows do not matter."""
        layer = self.layer
        return (layer.kernel, layer.stride, layer.padding) == (1, 1, 0)

    @property
    def row_width(self) -> int:
        """Pixels in a row, as :meth:`_emit_steps` counts them."""
        height, width = self.out_size
        return height * width if self._is_flat else width


class GroupedOutput:
    """Values of all groups for the pixels of a step, before the output stage.

    A group's output channels fill no whole vectors, and packed output no whole bytes, so values go
    through memory: each vector is stored whole, and the next group overwrites the excess.
    """

    def __init__(self, stage: StageCode, pixels: int) -> None:
        self._stage, self._pixels = stage, pixels
        self._row = stage.channels + 2 * stage.lanes
        self._values = T.alloc_buffer([pixels * self._row], stage.value_dtype)

    def put(self, value: Any, pixel: int, channel: Any) -> None:
        """Store a vector of values from ``channel`` on."""
        store(self._values, pixel * self._row + channel, value, self._stage.lanes)

    def emit(self, finish: Callable[[int, Any, int, Any], None]) -> None:
        """The output stage of all channels: ``finish(pixel, vector, count, value)``."""
        lanes = self._stage.lanes
        full, left = divmod(self._stage.channels, lanes)

        def one(pixel: int, vector: Any, count: int) -> None:
            value = load(self._values, pixel * self._row + vector * lanes, lanes)
            finish(pixel, vector, count, value)

        for pixel in range(self._pixels):
            if full:
                with T.serial(full) as vector:
                    one(pixel, vector, lanes)
            if left:
                one(pixel, full, left)


@dataclass(frozen=True, eq=False)
class PaddedCopy:
    """Addresses in the copy of the input: [plane][group][row][column][element] of ``dtype``.

    ``pixel`` elements belong to a pixel, plane and group; ``slack`` more are at the end.
    ``together`` takes all groups as one.
    """

    operator: ConvolutionOperator
    planes: int
    pixel: int
    dtype: str
    slack: int = 0
    together: bool = False

    @property
    def groups(self) -> int:
        """Groups that lie apart."""
        return 1 if self.together else self.operator.layer.groups

    @property
    def rows(self) -> int:
        """Rows, border included."""
        return self.operator.source.shape[0] + 2 * self.operator.layer.paddings[0]

    @property
    def columns(self) -> int:
        """Columns, border included."""
        return self.operator.source.shape[1] + 2 * self.operator.layer.paddings[1]

    @property
    def plane_size(self) -> int:
        """Elements of a plane: of all its groups."""
        return self.groups * self.group_size

    @property
    def group_size(self) -> int:
        """Elements of a group in a plane."""
        return self.rows * self.columns * self.pixel

    @property
    def size(self) -> int:
        """Elements of all."""
        return self.planes * self.plane_size + self.slack

    def address(self, plane: Any, group: Any, row: Any, column: Any) -> Any:
        """Of the first element of a pixel."""
        start = plane * self.plane_size + group * self.group_size
        return start + (row * self.columns + column) * self.pixel

    def emit(
        self,
        border: tuple[int, int],
        emit_run: Callable[[Any, Any, Any, Any, Any, int], None],
    ) -> Any:
        """Fill the border, copy the inside; the copy.

        ``border`` are the elements of a pixel and its last element; ``emit_run(copy, address,
        plane, group, pixel, size)`` copies ``size`` elements from one of the input's pixels on.
        """
        copy = T.alloc_buffer([self.size], self.dtype)
        height, width, _ = self.operator.source.shape
        (above, left), groups = self.operator.layer.paddings, self.groups
        padding = above or left
        if padding or self.slack:
            with T.serial(self.size) as element:
                T.buffer_store(copy, splat(border[0], self.dtype, 1), [element])
        if padding and border[0] != border[1]:
            with T.serial(self.size // self.pixel) as pixel:
                last = pixel * self.pixel + (self.pixel - 1)
                T.buffer_store(copy, splat(border[1], self.dtype, 1), [last])
        if self.planes * groups == 1:
            elements = self.operator.target.vector_bytes  # at least, of a vector that is copied
            with parts(height, self.operator.target, self.size // elements) as row:
                address = self.address(0, 0, row + above, left)
                emit_run(copy, address, 0, 0, row * width, width * self.pixel)
            return copy
        with (
            T.serial(self.planes) as plane,
            T.serial(groups) as group,
            T.serial(height) as row,
            T.serial(width) as column,
        ):
            address = self.address(plane, group, row + above, column + left)
            emit_run(copy, address, plane, group, row * width + column, self.pixel)
        return copy


def pixel_classes(
    size: int, out: int, layer: Convolution, axis: int
) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Along one axis of the image: each output's class, and which taps are in the border, by class.

    int32 [out] and bool [classes, kernel].
    """
    kernel, padding = layer.kernels[axis], layer.paddings[axis]
    taps = np.arange(out)[:, None] * layer.stride + np.arange(kernel) * layer.dilation
    outside = (taps < padding) | (taps >= padding + size)
    classes, index = np.unique(outside, axis=0, return_inverse=True)
    return index.reshape(-1).astype(np.int32), classes
