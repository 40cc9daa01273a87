from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as functional
from torch import nn

from bitat_deploy.training import native
from bitat_deploy.training.listing import recipe_cost
from bitat_deploy.training.recipe import load_recipe, recipe_names
from bitat_deploy.training.uniq import ActivationQuantizer
from bitat_deploy.training.uniq.functions import quantize_symmetric, quantize_unsigned

Operation = Callable[[torch.Tensor, nn.BatchNorm2d], torch.Tensor]


def normalizations(channels: int) -> tuple[nn.BatchNorm2d, nn.BatchNorm2d]:
    """Two equal ones with scales of both signs."""
    torch.manual_seed(channels)
    first, second = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
    with torch.no_grad():
        first.weight.copy_(torch.randn(channels))
        first.bias.copy_(torch.randn(channels) / 2)
    second.load_state_dict(first.state_dict())
    return first, second


def test_kernels_compile_here() -> None:
    assert native.kernels() is not None


FUSED: dict[str, Operation] = {
    "nothing": native.normalize,
    "sign": native.normalize_and_sign,
    "relu": native.normalize_and_rectify,
}
SEPARATE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "nothing": lambda values: values,
    "sign": native.sign_of_activation,
    "relu": functional.relu,
}
SHAPES = [(4, 1, 3, 5), (2, 13, 7, 7), (3, 40, 9, 4), (40, 16, 5, 5)]


@pytest.mark.parametrize("then", FUSED)
@pytest.mark.parametrize("shape", SHAPES)
def test_training_equals_pytorchs_operators(shape: tuple[int, ...], then: str) -> None:
    fused, plain = normalizations(shape[1])
    values = torch.randn(shape) * 3 + 0.5
    left, right = values.clone().requires_grad_(), values.clone().requires_grad_()
    gradient = torch.randn(shape)
    for _ in range(2):
        result, expected = FUSED[then](left, fused), SEPARATE[then](plain(right))
        torch.testing.assert_close(result, expected)
        assert (then == "sign") <= torch.equal(result, expected)
        result.backward(gradient)
        expected.backward(gradient)
    assert_equal_gradients(left, right, fused, plain)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_levels_of_normalized_sums(shape: tuple[int, ...], bits: int, signed: bool) -> None:
    """As normalised first and quantized then; a step of either sign."""
    fused, plain = normalizations(shape[1])
    values, gradient = torch.randn(shape) * 3 + 0.5, torch.randn(shape)
    left, right = values.clone().requires_grad_(), values.clone().requires_grad_()
    quantizers = [ActivationQuantizer(bits, signed) for _ in range(2)]
    with torch.no_grad():
        for quantizer in quantizers:
            quantizer.step.mul_(-0.9 if shape[1] == 13 else 0.9)
    result = quantizers[0].of_normalized(left, fused)
    expected = quantizers[1](native.normalize(right, plain))
    assert torch.equal(result, expected)
    result.backward(gradient)
    expected.backward(gradient)
    assert_equal_gradients(left, right, fused, plain)
    slopes = [quantizer.step.grad for quantizer in quantizers]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-4, atol=1e-5)


def assert_equal_gradients(
    left: torch.Tensor, right: torch.Tensor, fused: nn.BatchNorm2d, plain: nn.BatchNorm2d
) -> None:
    """Of two ways to the same values: of the values and of the normalisations; and statistics."""
    torch.testing.assert_close(left.grad, right.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(fused.weight.grad, plain.weight.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(fused.bias.grad, plain.bias.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(fused.running_mean, plain.running_mean)
    torch.testing.assert_close(fused.running_var, plain.running_var, rtol=1e-4, atol=1e-5)


def test_running_average_without_momentum() -> None:
    fused, plain = normalizations(5)
    fused.momentum = plain.momentum = None
    for _ in range(3):
        values = torch.randn(4, 5, 6, 6)
        native.normalize_and_sign(values, fused)
        plain(values)
    torch.testing.assert_close(fused.running_mean, plain.running_mean)
    torch.testing.assert_close(fused.running_var, plain.running_var, rtol=1e-4, atol=1e-5)


def test_evaluation_equals_pytorchs_operators() -> None:
    fused, plain = normalizations(12)
    fused.eval()
    plain.eval()
    values = torch.randn(3, 12, 5, 5)
    with torch.no_grad():
        assert torch.equal(native.normalize_and_sign(values, fused), plain(values).sign())


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (4, 1, 3, 5), (2, 13, 7, 7), (40, 16, 5, 5)])
def test_rprelu_equals_pytorchs_operators(shape: tuple[int, ...]) -> None:
    torch.manual_seed(shape[1])
    channels = shape[1]
    shifts = (1, channels, 1, 1)
    drawn = [torch.randn(shape), torch.randn(shifts), torch.randn(channels), torch.randn(shifts)]
    drawn[0][0, 0, 0, 0] = -drawn[1][0, 0, 0, 0]  # 0 counts as negative
    gradient = torch.randn(shape)
    left = [tensor.clone().requires_grad_() for tensor in drawn]
    right = [tensor.clone().requires_grad_() for tensor in drawn]
    result = native.rprelu(left[0], left[1], left[2], left[3])
    values, before, slope, after = right
    expected = functional.prelu(values + before, slope) + after
    torch.testing.assert_close(result, expected)
    result.backward(gradient)
    expected.backward(gradient)
    for ours, theirs in zip(left, right, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_sign_equals_pytorchs_operators(
    layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 5, 3, 3).contiguous(memory_format=layout)
    values[0, 0, 0, :2] = torch.tensor([0.0, -0.0])
    gradient = torch.randn(2, 5, 3, 3)
    found = []
    for _ in range(2):
        leaf = values.clone().requires_grad_()
        result = native.sign_of_activation(leaf)
        result.backward(gradient)
        found.append((result, leaf.grad))
        monkeypatch.setattr("bitat_deploy.training.native.library.kernels", lambda: None)
    for fast, plain in zip(*found, strict=True):
        assert torch.equal(fast, plain)


def test_works_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitat_deploy.training.native.library.kernels", lambda: None)
    fused, plain = normalizations(4)
    values = torch.randn(3, 4, 5, 5)
    assert torch.equal(native.normalize_and_sign(values, fused), plain(values).sign())


@pytest.mark.parametrize("outside", [0.0, 1.0])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (2, 7, 5, 4), (3, 33, 2, 7), (1, 64, 14, 14)])
def test_depthwise_equals_pytorchs_operators(
    shape: tuple[int, ...], stride: int, outside: float
) -> None:
    torch.manual_seed(stride)
    left = torch.randn(shape, requires_grad=True)
    weight = torch.randn(shape[1], 1, 3, 3, requires_grad=True)
    right, plain_weight = left.detach().clone(), weight.detach().clone()
    right.requires_grad_()
    plain_weight.requires_grad_()
    result = native.depthwise_convolution(left, weight, stride, outside)
    padded = functional.pad(right, (1, 1, 1, 1), value=outside)
    expected = functional.conv2d(padded, plain_weight, stride=stride, groups=shape[1])
    torch.testing.assert_close(result, expected)
    gradient = torch.randn_like(expected)
    result.backward(gradient)
    expected.backward(gradient)
    torch.testing.assert_close(left.grad, right.grad)
    torch.testing.assert_close(weight.grad, plain_weight.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("quantize", [quantize_symmetric, quantize_unsigned])
@pytest.mark.parametrize("shape", [(40, 3, 9, 7), (6, 5), (5, 1, 3, 3)])
@pytest.mark.parametrize("shared", [True, False])
def test_levels_equal_pytorchs_operators(
    monkeypatch: pytest.MonkeyPatch,
    quantize: Callable[..., torch.Tensor],
    shape: tuple[int, ...],
    bits: int,
    shared: bool,
) -> None:
    torch.manual_seed(bits)
    values = torch.randn(shape)
    if len(shape) == 4:
        values = values.contiguous(memory_format=torch.channels_last)
    values.flatten()[:2] = 0
    steps = torch.rand(() if shared else (shape[0], *[1] * (len(shape) - 1))) - 0.3
    gradient = torch.randn(shape)
    results = []
    for native_ones in (True, False):
        if not native_ones:
            name = "bitat_deploy.training.uniq.functions.fits_kernels"
            monkeypatch.setattr(name, lambda values, step: False)
        left, right = values.clone().requires_grad_(), steps.clone().requires_grad_()
        result = quantize(left, right, bits, 0.3)
        result.backward(gradient)
        results.append((result.detach(), left.grad, right.grad))
    (levels, of_values, of_steps), (expected, *others) = results
    assert torch.equal(levels, expected)
    assert torch.equal(of_values, others[0])
    torch.testing.assert_close(of_steps, others[1], rtol=1e-4, atol=1e-4)


def test_shapes_alone_need_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError

    monkeypatch.setattr("bitat_deploy.training.native.library.kernels", refuse)
    assert {sum(recipe_cost(load_recipe(name)).values()) > 0 for name in recipe_names()} == {True}
