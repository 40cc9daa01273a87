import pytest
import torch

from bitat_deploy.training.bitat.reduction import cluster, reduce_rows


@pytest.mark.parametrize(
    ("kind", "max_rows", "count"),
    [("channels", 8, 8), ("channels", 3, 3), ("clusters", 5, 5), ("none", 2, 72)],
)
def test_columns_are_orthonormal(kind: str, max_rows: int, count: int) -> None:
    rows = torch.randn(8 * 9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    reduction = reduce_rows(rows, 9, kind, max_rows)
    P = reduction.matrix()
    assert reduction.count == count
    torch.testing.assert_close(P.T @ P, torch.eye(count, dtype=torch.float64))
    torch.testing.assert_close(reduction.apply(rows), P.T @ rows)
    assert ((P != 0).sum(dim=1) == 1).all()


def test_channels_keep_their_taps_together() -> None:
    rows = torch.randn(6 * 4, 3, generator=torch.Generator().manual_seed(2))
    group = reduce_rows(rows, 4, "channels", 3).group.reshape(6, 4)
    assert (group == group[:, :1]).all()


def test_k_means_finds_what_is_there() -> None:
    generator = torch.Generator().manual_seed(3)
    centres = 10 * torch.randn(4, 5, generator=generator)
    member = torch.arange(4).repeat(10)
    rows = centres[member] + 0.1 * torch.randn(40, 5, generator=generator)
    found = cluster(rows, 4)
    same = member.unsqueeze(0) == member.unsqueeze(1)
    assert torch.equal(found.unsqueeze(0) == found.unsqueeze(1), same)


def test_equal_rows_leave_no_empty_group() -> None:
    reduction = reduce_rows(torch.ones(10, 2), 1, "clusters", 4)
    P = reduction.matrix()
    torch.testing.assert_close(P.T @ P, torch.eye(reduction.count, dtype=torch.float64))
