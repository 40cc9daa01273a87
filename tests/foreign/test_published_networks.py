"""Blocks of published binary networks, as their code exports from PyTorch: all are recognised.

Weights and batch normalisations are drawn. What is binary is written as the papers' code has it,
the straight-through gradients included, which export leaves in the file.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bitat_deploy.foreign import import_foreign
from bitat_deploy.network import Codes, Convolution, Preprocessing

PREPROCESSING = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def sign_of_squares(x: torch.Tensor) -> torch.Tensor:
    """Bi-Real Net, ReActNet, AdamBNN (arXiv 1808.00278, equation 7)."""
    masks = [(x < limit).type(torch.float32) for limit in (-1, 0, 1)]
    slope = -masks[0] + (x * x + 2 * x) * (1 - masks[0])
    slope = slope * masks[1] + (-x * x + 2 * x) * (1 - masks[1])
    slope = slope * masks[2] + (1 - masks[2])
    return torch.sign(x).detach() - slope.detach() + slope


class ScaledConv(nn.Module):
    """Signs times the mean magnitude of a filter, with the gradient of a clipped identity."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, channels, kernel, kernel) * 0.05)
        self.window = (stride, kernel // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True).detach()
        exact, clipped = scale * torch.sign(self.weight), torch.clamp(self.weight, -1, 1)
        return functional.conv2d(x, exact.detach() - clipped.detach() + clipped, None, *self.window)


class Shift(nn.Module):
    """A learned number for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(1, channels, 1, 1) * 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.shift


class ReActNetBlock(nn.Module):
    """arXiv 2003.03488, figure 6: 3x3, then 1x1 twice where the channels double."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2, 2) if stride == 2 else nn.Identity()
        self.spatial = ScaledConv(channels, channels, 3, stride)
        self.points = nn.ModuleList(ScaledConv(channels, channels, 1) for _ in range(stride))
        self.shifts = nn.ModuleList(Shift(channels) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(1 + stride))
        self.after = nn.Sequential(Shift(channels), nn.PReLU(channels), Shift(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.norms[0](self.spatial(sign_of_squares(self.shifts[0](x)))) + self.pool(x)
        out = self.after(out)
        signs = sign_of_squares(self.shifts[1](out))
        halves = [n(c(signs)) + out for n, c in zip(self.norms[1:], self.points, strict=True)]
        return torch.cat(halves, 1)


class BiRealBlock(nn.Module):
    """A shortcut around each convolution (arXiv 1808.00278, figure 3)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv = ScaledConv(channels, channels * stride, 3, stride)
        self.norm = nn.BatchNorm2d(channels * stride)
        down = [nn.AvgPool2d(2, 2), nn.Conv2d(channels, 2 * channels, 1, bias=False)]
        shortcut = [*down, nn.BatchNorm2d(2 * channels)]
        self.shortcut = nn.Sequential(*shortcut) if stride == 2 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(sign_of_squares(x))) + self.shortcut(x)


class AdaBinBlock(nn.Module):
    """Two values of any size for each filter, and for inputs (arXiv 2208.08084)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        out = channels * stride
        self.weight = nn.Parameter(
            torch.randn(out, channels, 3, 3) + 0.3 * torch.randn(out, 1, 1, 1)
        )
        self.alpha, self.beta = nn.Parameter(torch.tensor(0.8)), nn.Parameter(torch.tensor(0.15))
        self.norm, self.stride = nn.BatchNorm2d(out), stride
        self.shortcut = nn.AvgPool2d(2, 2) if stride == 2 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        spread = (self.weight - mean).pow(2).mean((1, 2, 3), keepdim=True).sqrt()
        weight = torch.sign((self.weight - mean) / spread) * spread + mean
        inputs = self.alpha * torch.sign((x - self.beta) / self.alpha) + self.beta
        out = self.norm(functional.conv2d(inputs, weight, None, self.stride, 1))
        shortcut = self.shortcut(x)
        return functional.hardtanh(out + torch.cat([shortcut] * self.stride, 1))


class QuickNetBlock(nn.Module):
    """Larq's: signs padded with ones, ReLU before the normalisation, a blurred max pool between."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv, self.norm = ScaledConv(channels, channels, 3), nn.BatchNorm2d(channels)
        self.conv.window = (1, 0)
        down = [nn.MaxPool2d(3, 1, 1), nn.Conv2d(channels, channels, 3, 2, 1, groups=channels)]
        widen = [nn.Conv2d(channels, 2 * channels, 1), nn.BatchNorm2d(2 * channels)]
        self.down = nn.Sequential(*down, *widen) if stride == 2 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        signs = functional.pad(torch.where(x >= 0, 1.0, -1.0), (1, 1, 1, 1), value=1.0)
        return self.down(self.norm(functional.relu(self.conv(signs))) + x)


class BNextBlock(nn.Module):
    """arXiv 2211.12933: the binary convolution's output is scaled by a branch of its own input."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        out = channels * stride
        self.shift, self.conv = Shift(channels), ScaledConv(channels, out, 3, stride)
        self.norm, self.act = nn.BatchNorm2d(out), nn.PReLU(out)
        squeeze = [nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, 4, 1), nn.ReLU()]
        self.scale = nn.Sequential(*squeeze, nn.Conv2d(4, out, 1), nn.Sigmoid())
        self.pool, self.stride = nn.AvgPool2d(2, 2) if stride == 2 else nn.Identity(), stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.act(self.norm(self.conv(sign_of_squares(self.shift(x)))))
        return out * self.scale(x) + torch.cat([self.pool(x)] * self.stride, 1)


def network(block: Callable[[int, int], nn.Module]) -> nn.Module:
    """A stem, three blocks of which the second halves and doubles, a classifier."""
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)]
    blocks = [block(16, 1), block(16, 2), block(32, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    whole = nn.Sequential(*stem, *blocks, *head)
    with torch.no_grad():
        for layer in whole.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.copy_(torch.randn_like(layer.weight) + 0.2)
                layer.bias.normal_(0, 0.5)
                layer.running_mean.normal_(0, 0.5)
                layer.running_var.uniform_(0.3, 3)
    return whole.eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("block", "count"),
    [
        (ReActNetBlock, 7),
        (BiRealBlock, 3),
        (AdaBinBlock, 3),
        (QuickNetBlock, 3),
        (BNextBlock, 3),
    ],
)
def test_all_binary_layers_are_found(
    block: Callable[[int, int], nn.Module], count: int, tmp_path: Path
) -> None:
    path = tmp_path / "network.onnx"
    example = (torch.zeros(1, 3, 32, 32),)
    torch.onnx.export(network(block), example, str(path), dynamo=False, verbose=False)
    found = import_foreign(path, PREPROCESSING)
    layers = [layer for layer in found.layers.values() if isinstance(layer, Convolution)]
    words = f"{count} of {count} convolutions with two-valued weights recognised"
    assert found.metadata["recognised"] == words
    assert len(layers) == count
    for layer in layers:
        codes = found.formats[layer.input]
        assert isinstance(codes, Codes) and (codes.bits, layer.weight_bits) == (1, 1)
    assert "0 predictions differ" in found.metadata["import"]
    assert np.isfinite(float(found.metadata["import"].split("at most ")[1].split()[0]))
