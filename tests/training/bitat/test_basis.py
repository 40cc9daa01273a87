import pytest
import torch

from bitat_deploy.training.bitat.basis import CorrelationBasis, basis_bytes
from bitat_deploy.training.bitat.options import BitatOptions


def moment(groups: int, rows: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    factor = torch.randn(groups, rows, 2 * rows, generator=generator, dtype=torch.float64)
    return factor @ factor.transpose(1, 2)


@pytest.mark.parametrize("rotation", ["exponential", "cayley"])
@pytest.mark.parametrize("off_diagonal", ["joint", "learned", "none"])
def test_training_keeps_the_rotation_and_the_sum(rotation: str, off_diagonal: str) -> None:
    H = moment(2, 7)
    basis = CorrelationBasis(H, (3, 4), rotation, off_diagonal)
    start, total = basis()[0].detach().clone(), H.diagonal(dim1=1, dim2=2).sum(dim=1).float()
    optimizer = torch.optim.SGD(basis.parameters(), lr=0.1)
    pull = torch.randn(2, 7, 7, generator=torch.Generator().manual_seed(2))
    for _ in range(5):
        V, s = basis()
        optimizer.zero_grad()
        ((V * pull).sum() + s[:, 0].sum() / 100).backward()
        optimizer.step()
    V, s = basis()
    identity = torch.eye(7).expand(2, 7, 7)
    torch.testing.assert_close(V.transpose(1, 2) @ V, identity, rtol=0, atol=1e-5)
    torch.testing.assert_close(s.sum(dim=1), total)
    assert (s > 0).all()
    assert (V - start).abs().max() > 0.05
    assert bool((V[:, :3, 3:].abs() < 1e-6).all()) == (off_diagonal == "none")
    torch.testing.assert_close(basis.constant()[0], V.detach())


def test_it_starts_as_principal_components() -> None:
    H = moment(1, 6)
    for off_diagonal, expected in (
        ("joint", H),
        ("learned", torch.block_diag(H[0, :2, :2], H[0, 2:, 2:])[None]),
    ):
        V, s = CorrelationBasis(H, (2, 4), off_diagonal=off_diagonal)()
        torch.testing.assert_close(V * s.unsqueeze(1) @ V.transpose(1, 2), expected.float())


def test_memory_of_a_block_of_512_channels_stays_under_its_bound() -> None:
    """512 rows whatever the width; a 3x3 layer of 512 channels has 4608 by itself."""
    options = BitatOptions()
    rows = options.block_layers * options.max_rows
    basis = CorrelationBasis(torch.eye(rows).unsqueeze(0), (options.max_rows,) * 4)
    held = sum(entry.numel() * 4 for entry in basis.buffers())
    # Each parameter comes with its gradient and Adam's two moments.
    held += 4 * sum(entry.numel() * 4 for entry in basis.parameters())
    assert held <= basis_bytes(rows) <= 6.1 * 2**20
    assert basis_bytes(4608) > 80 * basis_bytes(rows)
