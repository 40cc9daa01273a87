"""V and s: the rotation that disentangles weights, and the importance of what comes out [P]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class CorrelationBasis(nn.Module):
    """V = V_pca * R(A - A^T) and s = total * softmax(theta), both trainable [P trainable, R form].

    ``moment`` [groups, n, n] is the joint second moment of the stacked inputs; A starts at 0 and
    theta at the logarithm of the eigenvalues, so V and s start as PCA. s = 0 would be a trivial
    minimum of loss (4): it stays positive, and its sum for each group what PCA gave. ``parts`` are
    the rows of each layer in the stack; ``off_diagonal`` as in BitatOptions. The only
    eigendecomposition is here, when a layer is calibrated.
    """

    initial: Tensor
    total: Tensor
    mask: Tensor | None
    vectors: Tensor
    importance: Tensor

    def __init__(
        self,
        moment: Tensor,
        parts: Sequence[int],
        rotation: str = "exponential",
        off_diagonal: str = "joint",
        trained: bool = True,
    ) -> None:
        super().__init__()
        joint = off_diagonal == "joint"
        eigenvalues, vectors = _pca(moment, [moment.shape[-1]] if joint else list(parts))
        total = eigenvalues.sum(dim=-1, keepdim=True)
        floor = 1e-9 * total.clamp(min=1e-30)
        mask = _same_part(parts).to(moment.device) if off_diagonal == "none" else None
        self._rotation = rotation
        self.register_buffer("initial", vectors.float())
        self.register_buffer("total", total.float())
        self.register_buffer("mask", mask)
        theta = torch.maximum(eigenvalues, floor).log().float()
        self.theta = nn.Parameter(theta - theta.amax(dim=-1, keepdim=True), requires_grad=trained)
        # Without training no A is held: it would be as large as V.
        self.skew = nn.Parameter(torch.zeros_like(self.initial)) if trained else None
        # What V and s were last, constants: for steps that do not train them.
        self.register_buffer("vectors", self.initial.clone() if trained else self.initial)
        self.register_buffer("importance", self._importance().detach())

    def forward(self) -> tuple[Tensor, Tensor]:
        """V [groups, n, n] and s [groups, n], with gradient to A and theta."""
        if self.skew is None:
            return self.initial, self.importance
        skew = self.skew - self.skew.transpose(1, 2)
        if self.mask is not None:
            skew = skew * self.mask
        V = self.initial @ rotate(skew, self._rotation)
        s = self._importance()
        self.vectors.copy_(V.detach())
        self.importance.copy_(s.detach())
        return V, s

    def constant(self) -> tuple[Tensor, Tensor]:
        """The last V and s, without gradient and without computing anything."""
        return self.vectors, self.importance

    def _importance(self) -> Tensor:
        return self.total * self.theta.softmax(dim=-1)


def rotate(skew: Tensor, rotation: str) -> Tensor:
    """The orthogonal matrix of a skew-symmetric one, [groups, n, n]: its exponential, or Cayley's
    (I - S/2)^-1 (I + S/2)."""
    if rotation == "exponential":
        return torch.matrix_exp(skew)
    identity = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
    return torch.linalg.solve(identity - skew / 2, identity + skew / 2)


def basis_bytes(rows: int, groups: int = 1, trained: bool = True) -> int:
    """Bytes of V and s in training with Adam, float32, for ``groups`` matrices of ``rows``^2.

    Trained: V_pca, the last V, A, its gradient and Adam's two moments; else V_pca alone. With
    ``rows`` <= block_layers * max_rows this is the bound for any width of layer: 512 rows by
    default, 6 MiB, for a block of 512-channel layers as for any other.
    """
    matrices, vectors = (6, 6) if trained else (1, 2)
    return 4 * groups * (matrices * rows * rows + vectors * rows + 1)


def _pca(moment: Tensor, parts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Eigenvalues [groups, n] and eigenvectors [groups, n, n] of the diagonal blocks ``parts``."""
    moment = moment.to(torch.float64)
    values = moment.new_zeros(moment.shape[:-1])
    vectors = torch.zeros_like(moment)
    start = 0
    for rows in parts:
        block = slice(start, start + rows)
        values[:, block], vectors[:, block, block] = torch.linalg.eigh(moment[:, block, block])
        start += rows
    return values.clamp(min=0), vectors


def _same_part(parts: Sequence[int]) -> Tensor:
    return torch.block_diag(*(torch.ones(rows, rows) for rows in parts))
