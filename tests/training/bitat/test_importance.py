import pytest
import torch
from torch import nn

from bitat_deploy.training.bitat.convolution import BinarizedConv2d
from bitat_deploy.training.bitat.statistics import collect_statistics
from bitat_deploy.training.quantizers import WeightMode
from bitat_deploy.training.rounding import output_error


def drawn_layer(
    kernel: int, groups: int, stride: int
) -> tuple[BinarizedConv2d, list[torch.Tensor]]:
    torch.manual_seed(3)
    outputs = 6 if groups > 1 else 11
    convolution = nn.Conv2d(6, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    layer = BinarizedConv2d(convolution).to(torch.float64)
    mixing = torch.randn(6, 6, dtype=torch.float64)
    shape = (4, 6, 7, 5)
    return layer, [
        torch.einsum("nchw,cd->ndhw", torch.randn(shape, dtype=torch.float64), mixing)
        for _ in range(3)
    ]


@pytest.mark.parametrize(
    ("kernel", "groups", "stride"), [(1, 1, 1), (3, 6, 1), (3, 6, 2), (3, 1, 2)]
)
def test_loss_is_the_measured_output_error(kernel: int, groups: int, stride: int) -> None:
    layer, batches = drawn_layer(kernel, groups, stride)
    statistics = collect_statistics(layer, (), lambda: map(layer, batches), centred=False)
    layer.weight_mode = WeightMode.BINARY
    quantized = layer.effective_weight().detach()
    predicted = output_error(statistics.own, layer.grouped(layer.weight.detach() - quantized))
    outputs = [layer(batch) for batch in batches]
    layer.weight_mode = WeightMode.FULL
    exact = [layer(batch) for batch in batches]
    squares = (torch.cat(exact) - torch.cat(outputs)).square()
    measured = squares.mean(dim=(0, 2, 3)).sum()  # per position, summed over channels
    torch.testing.assert_close(predicted, measured.detach())


def test_trace_equals_the_rotated_form() -> None:
    layer, batches = drawn_layer(3, 1, 1)
    H = collect_statistics(layer, (), lambda: map(layer, batches), centred=False).own
    difference = torch.randn(1, H.shape[1], 11, dtype=torch.float64)
    s, V = torch.linalg.eigh(H)
    rotated = s.clamp(min=0).sqrt().unsqueeze(2) * (V.transpose(1, 2) @ difference)
    torch.testing.assert_close(output_error(H, difference), rotated.square().sum())


@pytest.mark.parametrize(("kernel", "groups"), [(1, 1), (3, 6), (3, 1)])
def test_grouping_is_invertible(kernel: int, groups: int) -> None:
    layer, _ = drawn_layer(kernel, groups, 1)
    weight = layer.weight.detach()
    assert torch.equal(layer.ungrouped(layer.grouped(weight)), weight)
