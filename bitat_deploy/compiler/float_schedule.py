"""A schedule for the float32 functions that TVM makes: tiles in registers, vectors along a row.

A convolution in NCHW is computed for some output channels and a vector of neighbouring pixels at
a time: their sums stay in registers over the whole window, each input vector is used for all the
channels, and what follows the convolution (batch normalisation, activation) is applied before the
tile is stored. Rows that are shorter than a vector are joined where the convolution is 1x1, as
its input's pixels then follow each other, too. It is not tuned; without it the float32 part of a
network would be about a hundred times slower.
"""

import math
from typing import Any

from tvm import s_tir, tirx
from tvm.ir import IRModule

from bitat_deploy.target import Target

_TILE_CHANNELS = 8  # and twice as many of whole rows, which share a vector of pixels
_PARALLEL_FROM = 1 << 18  # multiply-accumulates; threads cost more below


def schedule_functions(module: IRModule, target: Target) -> IRModule:
    """The module with its TIR functions scheduled; those of unknown form stay as they are."""
    scheduled = {}
    for variable, function in module.functions.items():
        if isinstance(function, tirx.PrimFunc):
            scheduled[variable] = _scheduled(function, target)
    for variable, function in scheduled.items():
        module[variable] = function
    return module


def _scheduled(function: Any, target: Target) -> Any:
    schedule = s_tir.Schedule(IRModule({"main": function}))
    try:
        _schedule(schedule, target)
    except Exception:  # TVM's schedules raise whatever their conditions are
        return function
    return (
        schedule.mod["main"].with_attrs(function.attrs) if function.attrs else schedule.mod["main"]
    )


def _schedule(schedule: Any, target: Target) -> None:
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    reductions = [block for block in blocks if _reduces(schedule, block)]
    if len(reductions) != 1:
        return
    (core,) = reductions
    place = [_same(schedule, block, core) for block in blocks].index(True)
    for block in blocks[place + 1 : -1]:
        schedule.compute_inline(block)
    last = blocks[-1] if place + 1 < len(blocks) else schedule.cache_write(core, 0, "global")
    _tile(schedule, core, last, target)


def _tile(schedule: Any, core: Any, last: Any, target: Target) -> None:
    spatial, window = schedule.get_loops(last), schedule.get_loops(core)[4:]
    if len(spatial) != 4 or not window:
        return
    work = math.prod(_extent(schedule, loop) for loop in schedule.get_loops(core))
    batch, channel, row, column = spatial
    if _is_pointwise(schedule, core, last, window):
        rows = _rows_joined(schedule, row, column, target.vector_bytes // 4)
        if rows > 1:
            _tile_rows(schedule, core, last, rows)
            return
    lanes = _divisor(_extent(schedule, column), target.vector_bytes // 4)
    channels = _divisor(_extent(schedule, channel), _TILE_CHANNELS)
    outer_channel, inner_channel = schedule.split(channel, [None, channels])
    outer_column, inner_column = schedule.split(column, [None, lanes])
    schedule.reorder(batch, outer_channel, row, outer_column, inner_channel, inner_column)
    schedule.compute_at(core, outer_column, preserve_unit_loops=True)
    inner = schedule.get_loops(core)[4:]
    spatial, window = inner[:4], inner[4:]
    schedule.reorder(*window, *spatial)
    schedule.vectorize(spatial[3])
    schedule.unroll(spatial[1])
    schedule.vectorize(inner_column)
    schedule.unroll(inner_channel)
    if work >= _PARALLEL_FROM:
        schedule.parallel(schedule.fuse(batch, outer_channel, row))
    schedule.decompose_reduction(core, window[0])


def _is_pointwise(schedule: Any, core: Any, last: Any, window: Any) -> bool:
    """Whether ``core`` is a dense 1x1 convolution with stride 1 that reads no padded copy."""
    if len(window) != 3 or [_extent(schedule, loop) for loop in window[1:]] != [1, 1]:
        return False
    read, written = schedule.get(core).reads[0], schedule.get(last).writes[0]
    return _pixels(read) == _pixels(written)


def _pixels(region: Any) -> list[int]:
    """Height and width of the tensor that a region is of."""
    return [int(size) for size in region.source.shape[2:]]


def _rows_joined(schedule: Any, row: Any, column: Any, lanes: int) -> int:
    """How many rows fit into a vector of ``lanes``: LLVM keeps no longer ones in registers."""
    height, width = _extent(schedule, row), _extent(schedule, column)
    return _divisor(height, max(1, lanes // width))


def _tile_rows(schedule: Any, core: Any, last: Any, rows: int) -> None:
    """As :func:`_tile`, for tiles of whole rows."""
    work = math.prod(_extent(schedule, loop) for loop in schedule.get_loops(core))
    batch, channel, row, column = schedule.get_loops(last)
    channels = _divisor(_extent(schedule, channel), 2 * _TILE_CHANNELS)
    outer_channel, inner_channel = schedule.split(channel, [None, channels])
    outer_row, inner_row = schedule.split(row, [None, rows])
    schedule.reorder(batch, outer_channel, outer_row, inner_channel, inner_row, column)
    pixels = schedule.fuse(inner_row, column)
    schedule.compute_at(core, outer_row, preserve_unit_loops=True)
    inner = schedule.get_loops(core)[3:]
    spatial, window = inner[:4], inner[4:]
    schedule.reorder(*window, *spatial)
    schedule.vectorize(schedule.fuse(*spatial[2:]))
    schedule.unroll(spatial[1])
    schedule.vectorize(pixels)
    schedule.unroll(inner_channel)
    if work >= _PARALLEL_FROM:
        schedule.parallel(schedule.fuse(batch, outer_channel, outer_row))
    schedule.decompose_reduction(core, window[0])


def _reduces(schedule: Any, block: Any) -> bool:
    return any(var.iter_type == tirx.IterVar.CommReduce for var in schedule.get(block).iter_vars)


def _same(schedule: Any, first: Any, second: Any) -> bool:
    return bool(schedule.get_sref(first).same_as(schedule.get_sref(second)))


def _extent(schedule: Any, loop: Any) -> int:
    return int(schedule.get(loop).extent)


def _divisor(extent: int, most: int) -> int:
    """The largest divisor of ``extent`` that is at most ``most``."""
    return next(size for size in range(min(extent, most), 0, -1) if extent % size == 0)
