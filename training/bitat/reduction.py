"""The reduction matrix P: rows of a layer's weight that share one row of V and s [R].

"Aggregated": V has as many rows as W, 4608 for a 3x3 layer of 512 channels. P in R^{d x m} merges
them into m. Each row has one non-zero 1/sqrt(size of its group), so P^T P = I.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Reduction:
    """``group`` int64 [d]: the one of ``count`` groups each row belongs to; none is empty."""

    group: Tensor
    count: int

    def matrix(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """P, [d, m]."""
        matrix = torch.zeros(len(self.group), self.count, dtype=dtype, device=self.group.device)
        rows = torch.arange(len(self.group), device=self.group.device)
        matrix[rows, self.group] = self._scale(dtype)
        return matrix

    def apply(self, rows: Tensor) -> Tensor:
        """P^T times ``rows`` [..., d, columns], giving [..., m, columns]."""
        if self.count == len(self.group):
            return rows
        result = rows.new_zeros(*rows.shape[:-2], self.count, rows.shape[-1])
        scaled = rows * self._scale(rows.dtype).unsqueeze(1)
        return result.index_add(-2, self.group, scaled)

    def _scale(self, dtype: torch.dtype) -> Tensor:
        sizes = torch.bincount(self.group, minlength=self.count).to(dtype)
        return sizes.rsqrt()[self.group]


def reduce_rows(rows: Tensor, taps: int, kind: str, max_rows: int) -> Reduction:
    """P for a weight seen as ``rows`` [channels * taps, outputs], channel by channel.

    ``kind``: "channels" merges the taps of a channel, and by k-means on their sums as many
    channels as exceed ``max_rows``; "clusters" is k-means on the rows; "none" keeps all rows.
    """
    count = len(rows)
    identity = Reduction(torch.arange(count, device=rows.device), count)
    if kind == "none":
        return identity
    if kind == "clusters":
        return identity if count <= max_rows else _reduction(cluster(rows, max_rows))
    channels = count // taps
    if channels <= max_rows:
        group = torch.arange(channels, device=rows.device)
    else:
        group = cluster(rows.reshape(channels, taps, -1).sum(dim=1), max_rows)
    return _reduction(group.repeat_interleave(taps))


def cluster(rows: Tensor, count: int, iterations: int = 10) -> Tensor:
    """k-means (Lloyd): int64 [n] from ``rows`` [n, width], deterministic.

    Starts from ``count`` evenly spaced rows; a centre left without rows takes the row farthest
    from its own. May leave groups empty where rows are equal; :class:`Reduction` renumbers them.
    """
    rows = rows.detach()
    start = torch.linspace(0, len(rows) - 1, count).round().long().to(rows.device)
    centres = rows[start].clone()
    nearest = torch.zeros(len(rows), dtype=torch.long, device=rows.device)
    for _ in range(iterations):
        distance, nearest = torch.cdist(rows, centres).min(dim=1)
        sizes = torch.bincount(nearest, minlength=count)
        sums = torch.zeros_like(centres).index_add(0, nearest, rows)
        centres = sums / sizes.clamp(min=1).unsqueeze(1).to(rows.dtype)
        empty = (sizes == 0).nonzero().flatten()
        if len(empty):
            centres[empty] = rows[distance.argsort(descending=True)[: len(empty)]]
    return nearest


def _reduction(group: Tensor) -> Reduction:
    used, renumbered = torch.unique(group, return_inverse=True)
    return Reduction(renumbered, len(used))
