import itertools

import pytest
import torch

from bitat_deploy.training.bitat import commit_signs
from bitat_deploy.training.rounding import optimal_alpha, output_error


def correlated(groups: int, d: int, outputs: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """H of correlated inputs, and weights."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(groups, d, d, generator=generator, dtype=torch.float64)
    inputs = torch.randn(groups, 50 * d, d, generator=generator, dtype=torch.float64) @ mixing
    inputs = inputs.relu()
    H = inputs.transpose(1, 2) @ inputs / inputs.shape[1]
    return H, torch.randn(groups, d, outputs, generator=generator, dtype=torch.float64)


def signs_of(weight: torch.Tensor) -> torch.Tensor:
    return torch.where(weight >= 0, 1.0, -1.0).to(weight.dtype)


def test_alpha_is_optimal_for_every_output() -> None:
    H, weight = correlated(3, 9, 4, seed=0)
    signs = signs_of(weight)
    alpha = optimal_alpha(H, weight, signs)
    best = output_error(H, weight - alpha * signs)
    for output in range(4):
        for shift in (-1e-3, 1e-3):
            moved = alpha.clone()
            moved[:, :, output] += shift
            assert output_error(H, weight - moved * signs) > best


@pytest.mark.parametrize(("groups", "d", "outputs"), [(1, 64, 20), (16, 9, 1), (1, 1, 3)])
def test_descent_never_raises_the_loss(groups: int, d: int, outputs: int) -> None:
    H, weight = correlated(groups, d, outputs, seed=1)
    errors = [commit_signs(H, weight, sweeps).error_after for sweeps in range(6)]
    assert commit_signs(H, weight, 0).error_before >= errors[0] - 1e-12
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(errors))


def test_descent_gains_what_a_toy_layer_shows() -> None:
    """64 correlated ReLU inputs: the descent removes a good part of the plain sign's error."""
    H, weight = correlated(1, 64, 32, seed=2)
    commit = commit_signs(H, weight, 5)
    assert commit.error_after < 0.7 * commit.error_before
    assert commit.flipped > 0


def test_result_cannot_be_improved_by_one_flip() -> None:
    H, weight = correlated(2, 9, 3, seed=3)
    commit = commit_signs(H, weight, 50)
    best = output_error(H, weight - commit.rounded.weight())
    for group, i, output in itertools.product(range(2), range(9), range(3)):
        signs = commit.rounded.levels.clone()
        signs[group, i, output] *= -1
        assert output_error(H, weight - commit.rounded.alpha * signs) >= best - 1e-12


def test_scales_are_positive_and_signs_are_signs() -> None:
    H, weight = correlated(1, 12, 5, seed=4)
    commit = commit_signs(H, weight, 3)
    assert (commit.rounded.alpha > 0).all()
    assert set(commit.rounded.levels.unique().tolist()) == {-1.0, 1.0}
    reported = output_error(H, weight - commit.rounded.weight()) / output_error(H, weight)
    assert float(reported) == pytest.approx(commit.error_after)


def test_a_negative_scale_is_turned_into_signs() -> None:
    """Where b^T H w < 0, sign(W) points the wrong way; the descent has to know."""
    seen = 0
    for seed in range(40):
        H, weight = correlated(1, 3, 4, seed)
        seen += int((optimal_alpha(H, weight, signs_of(weight)) < 0).sum())
        start, end = commit_signs(H, weight, 0), commit_signs(H, weight, 1)
        assert end.error_after <= start.error_after + 1e-12
        assert (start.rounded.alpha > 0).all()
        assert (end.rounded.alpha > 0).all()
    assert seen > 0
