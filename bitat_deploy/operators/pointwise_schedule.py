"""Schedules of the binary 1x1 convolution: what can be chosen without a change of its result."""

from dataclasses import dataclass, replace

from bitat_deploy.operators.ordered_counts import MAXIMUM_CHANNELS, has_registers
from bitat_deploy.target import Target

WORDS_PER_BYTE_SUM = 31  # 31 words add at most 8 * 31 = 248 to a byte

_TABLES_PAY = 32  # pixels that a table must be used for
_ORDER_PAYS = 64  # inputs whose counting must be ordered by hand, and
_LARGE_TILE = 8  # pixels x vectors that have to be in a tile
_TABLE_VECTORS = 21 * 16 + 2  # of a word of 64 inputs


@dataclass(frozen=True)
class PointwiseSchedule:
    """How the output channels are divided between the two ways of computing, and their tiles.

    By counting (:mod:`.pointwise_counts`): ``lane_bits`` (8 or 32) of K in each lane of a vector of
    ``vector_bytes``; a tile is ``pixels`` x ``channel_vectors``; ``carry_save_words`` words (1 to
    31) go through carry-save adders before they are counted, 1 counts each word by itself;
    ``hand_ordered`` is whether the instructions are ordered by hand (:mod:`.ordered_counts`).

    By tables (:mod:`.pointwise_tables`): as many output channels as fill vectors of ``table_bytes``
    bytes, all others being counted; tables of ``table_words`` words of 64 inputs at a time. 0
    bytes: no tables.
    """

    lane_bits: int
    vector_bytes: int
    pixels: int
    channel_vectors: int
    carry_save_words: int
    table_bytes: int = 0
    table_words: int = 1
    hand_ordered: bool = False

    @property
    def lanes(self) -> int:
        """Output channels in one vector, where they are counted."""
        return self.vector_bytes * 8 // self.lane_bits

    @staticmethod
    def default(
        target: Target, pixels: int, channels: int, out_channels: int
    ) -> "PointwiseSchedule":
        """The fastest measured on this kind of processor; on ARM the fastest modelled."""
        x86, arm64 = (target.architecture == name for name in ("x86_64", "aarch64"))
        vector = target.vector_bytes
        ordered = arm64 and target.in_order and _ORDER_PAYS <= channels <= MAXIMUM_CHANNELS
        counting = (
            PointwiseSchedule(32, vector, 1, 1, WORDS_PER_BYTE_SUM)
            if x86
            else PointwiseSchedule(8, vector, 4, 4, 1, hand_ordered=ordered)
        )
        pays = vector == 64 if x86 else arm64 and not target.in_order
        if not pays or pixels < _TABLES_PAY:
            return counting
        sizes = (size for size in (64, 32, 16) if size <= vector and out_channels >= 8 * size)
        table = next(sizes, 0)
        words = 1 if x86 or not table else _words_that_fit(target, table)
        return replace(counting, table_bytes=table, table_words=words)


def schedule_space(
    target: Target, pixels: int, channels: int, out_channels: int
) -> tuple[PointwiseSchedule, ...]:
    """All schedules worth trying at a shape, without two that are the same there."""
    x86 = target.architecture == "x86_64"
    lane_bits, words = (32, (7, 15, WORDS_PER_BYTE_SUM)) if x86 else (8, (1,))
    lanes = target.vector_bytes * 8 // lane_bits
    registers = 16 if target.architecture == "armv7l" or target.vector_bytes == 32 else 32
    counting = tuple(
        PointwiseSchedule(lane_bits, target.vector_bytes, tile, vectors, count)
        for tile in (1, 2, 3, 4, 6, 8)
        for vectors in (1, 2, 4, 6, 8)
        for count in words
        if tile <= pixels
        and vectors <= max(1, -(-out_channels // lanes))
        and tile * vectors + vectors + 2 <= registers
        and (not x86 or tile * vectors <= 4)
    )
    ordered = tuple(
        replace(one, hand_ordered=True)
        for one in counting
        if target.architecture == "aarch64"
        and _ORDER_PAYS <= channels <= MAXIMUM_CHANNELS
        and one.pixels * one.channel_vectors >= _LARGE_TILE
        and has_registers(one.pixels, one.channel_vectors)
    )
    widest = min(2 * target.vector_bytes, 64)
    rest = PointwiseSchedule.default(target, 1, channels, out_channels)
    tables = tuple(
        replace(rest, table_bytes=size, table_words=words)
        for size in (8, 16, 32, 64)
        if size <= widest and out_channels >= 8 * size and pixels >= _TABLES_PAY
        for words in (1, 2, 4, 8)
        if words <= min(max(1, channels // 64), _words_that_fit(target, size))
    )
    return (*counting, *ordered, *tables)


def _words_that_fit(target: Target, table_bytes: int) -> int:
    """Words of inputs whose tables take two thirds of the first level of cache, at least one."""
    return max(1, target.l1d_kib * 1024 * 2 // 3 // (_TABLE_VECTORS * table_bytes))
