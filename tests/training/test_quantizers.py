import torch

from bitat_deploy.training.native import sign_of_activation
from bitat_deploy.training.quantizers import (
    binarized_weight,
    binary_sign,
    int8_scale,
    int8_weight,
)


def test_sign_of_zero_is_plus_one() -> None:
    values = torch.tensor([-2.0, -0.0, 0.0, 1e-30, -1e-30])
    assert binary_sign(values).tolist() == [-1, 1, 1, 1, -1]


def test_activation_gradient_is_a_triangle() -> None:
    values = torch.tensor([-1.5, -1.0, -0.5, 0.0, 0.25, 2.0], requires_grad=True)
    sign_of_activation(values).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 0, 1, 2, 1.5, 0]


def test_binarized_weight_has_one_scale_for_each_output() -> None:
    weight = torch.tensor([[0.5, -0.1], [-3.0, 1.0]], requires_grad=True)
    result = binarized_weight(weight)
    torch.testing.assert_close(result, torch.tensor([[0.3, -0.3], [-2.0, 2.0]]))
    result.sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.tensor([[0.3, 0.3], [2.0, 2.0]]))


def test_int8_weight_lies_on_its_grid() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 3, 3, 3, requires_grad=True)
    for per_channel in (True, False):
        steps = int8_weight(weight, per_channel) / int8_scale(weight, per_channel)
        torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
        assert steps.abs().max().item() < 127.5
    assert torch.equal(int8_weight(torch.zeros(2, 2), True), torch.zeros(2, 2))
