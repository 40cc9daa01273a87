import pytest
import torch
import torch.nn.functional as functional

from bitat_deploy.training.bitat import layer_second_moment, output_error
from bitat_deploy.training.bitat.importance import (
    grouped_weight,
    relative_output_error,
    ungrouped_weight,
)
from bitat_deploy.training.networks import BinaryLayer, WeightMode


def drawn_layer(depthwise: bool, stride: int = 1) -> tuple[BinaryLayer, list[torch.Tensor]]:
    torch.manual_seed(3)
    layer = BinaryLayer("drawn", 6, 6 if depthwise else 11, depthwise, stride)
    mixing = torch.randn(6, 6)
    batches = [torch.einsum("nchw,cd->ndhw", torch.randn(4, 6, 7, 5), mixing) for _ in range(3)]
    return layer.to(torch.float64), [batch.sign().to(torch.float64) for batch in batches]


@pytest.mark.parametrize(("depthwise", "stride"), [(False, 1), (True, 1), (True, 2)])
def test_loss_is_the_measured_output_error(depthwise: bool, stride: int) -> None:
    layer, batches = drawn_layer(depthwise, stride)
    quantized = layer.weight.detach().abs().mean() * torch.sign(layer.weight.detach())
    moment = layer_second_moment(layer, batches)
    difference = grouped_weight(layer, layer.weight.detach() - quantized)
    predicted = output_error(moment, difference)

    def outputs(weight: torch.Tensor) -> torch.Tensor:
        groups = 6 if depthwise else 1
        parts = [
            functional.conv2d(layer.padded(batch), weight, stride=stride, groups=groups)
            for batch in batches
        ]
        return torch.cat(parts)

    squares = (outputs(layer.weight.detach()) - outputs(quantized)).square()
    measured = squares.mean(dim=(0, 2, 3)).sum()  # per position, summed over channels
    torch.testing.assert_close(predicted, measured)


def test_trace_equals_the_rotated_form() -> None:
    layer, batches = drawn_layer(depthwise=False)
    H = layer_second_moment(layer, batches)
    difference = torch.randn(1, 6, 11, dtype=torch.float64)
    s, V = torch.linalg.eigh(H)
    rotated = s.clamp(min=0).sqrt().unsqueeze(2) * (V.transpose(1, 2) @ difference)
    torch.testing.assert_close(output_error(H, difference), rotated.square().sum())


@pytest.mark.parametrize("depthwise", [False, True])
def test_grouping_is_invertible(depthwise: bool) -> None:
    layer, _ = drawn_layer(depthwise)
    weight = layer.weight.detach()
    assert torch.equal(ungrouped_weight(layer, grouped_weight(layer, weight)), weight)


def test_relative_error_pulls_the_latent_weight_towards_its_quantized_value() -> None:
    layer, batches = drawn_layer(depthwise=False)
    layer.weight_mode = WeightMode.BINARY
    moment = layer_second_moment(layer, batches)
    before = relative_output_error(layer, moment)
    optimizer = torch.optim.Adam([layer.weight], lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        relative_output_error(layer, moment).backward()
        optimizer.step()
    assert relative_output_error(layer, moment) < 0.5 * before
