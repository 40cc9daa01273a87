import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bitat_deploy.training.uniq import (
    ActivationQuantizer,
    WeightQuantizer,
    calibrate,
)
from bitat_deploy.training.uniq.functions import quantize_symmetric, quantize_unsigned
from bitat_deploy.training.uniq.levels import NORMAL_STEPS, RECTIFIED_STEPS

BITS = (1, 2, 3, 4, 8)


def cell_moments(levels: np.ndarray, lowest: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a normal variable above ``lowest``: integrals of 1, x, x^2 over each level's cell."""
    middle = (levels[1:] + levels[:-1]) / 2
    edges = np.concatenate([[lowest], middle, [np.inf]])
    cumulative = np.array([(1 + math.erf(edge / math.sqrt(2))) / 2 for edge in edges])
    density = np.exp(-(edges**2) / 2) / math.sqrt(2 * math.pi)
    weighted = np.where(np.isinf(edges), 0, np.nan_to_num(edges, posinf=0, neginf=0) * density)
    mass = np.diff(cumulative)
    return mass, -np.diff(density), mass - np.diff(weighted)


def optimal_step(bits: int, symmetric: bool) -> float:
    """The step of least E[(x - Q(x))^2]: a scan finds where, bisection of its slope exactly."""
    codes = np.arange(2**bits)
    unit = codes - (2**bits - 1) / 2 if symmetric else codes.astype(float)
    lowest = -np.inf if symmetric else 0.0

    def error(step: float) -> float:
        mass, first, second = cell_moments(unit * step, lowest)
        return float((second - 2 * unit * step * first + (unit * step) ** 2 * mass).sum())

    def slope(step: float) -> float:
        mass, first, _ = cell_moments(unit * step, lowest)
        return float((unit * (unit * step * mass - first)).sum())

    scan = np.geomspace(0.005, 4, 300)
    best = int(np.argmin([error(step) for step in scan]))
    low, high = scan[best - 1], scan[best + 1]
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(low)


@pytest.mark.parametrize("bits", range(1, 9))
def test_first_steps_have_the_least_error(bits: int) -> None:
    assert NORMAL_STEPS[bits] == pytest.approx(optimal_step(bits, True), abs=1e-6)
    # The authors' figures; they differ from the optimum by 1.4e-5 at 1 bit, else less.
    assert RECTIFIED_STEPS[bits] == pytest.approx(optimal_step(bits, False), abs=2e-5)


Reference = Callable[[Tensor, Tensor, int, Tensor | None], Tensor]


def symmetric(values: Tensor, step: Tensor, bits: int, residue: Tensor | None) -> Tensor:
    """Q_w as the paper writes it, the rounding replaced by adding a constant ``residue``.

    Of 8 bits one level less, so that 0 is among them.
    """
    largest = 254 if bits == 8 else 2**bits - 1
    ratio = torch.clip((values + step * largest / 2) / step, 0, largest)
    rounded = torch.round(ratio) if residue is None else ratio + residue
    return step * rounded - step * largest / 2


def unsigned(values: Tensor, step: Tensor, bits: int, residue: Tensor | None) -> Tensor:
    ratio = torch.clip(values / step, 0, 2**bits - 1)
    return step * (torch.round(ratio) if residue is None else ratio + residue)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(
    ("function", "reference"), [(quantize_symmetric, symmetric), (quantize_unsigned, unsigned)]
)
def test_levels_and_numerical_gradients(
    function: Callable[..., Tensor], reference: Reference, bits: int
) -> None:
    torch.manual_seed(bits)
    values = torch.randn(6, 5, 3, dtype=torch.float64, requires_grad=True)
    step = (torch.rand(6, 1, 1, dtype=torch.float64) + 0.5) * NORMAL_STEPS[bits]
    step.requires_grad_()
    result = function(values, step, bits, 0.25)
    with torch.no_grad():
        torch.testing.assert_close(result, reference(values, step, bits, None))
        # Straight through: rounding counts as adding a constant, which is found here.
        zero = torch.zeros_like(values)
        unrounded = reference(values, step, bits, zero)
        residue = (reference(values, step, bits, None) - unrounded) / step
    upstream = torch.randn_like(values)
    result.backward(upstream)

    def numerical(change: str) -> Tensor:
        small = 1e-6
        with torch.no_grad():
            shifted = [
                reference(
                    values + sign * small * (change == "values"),
                    step + sign * small * (change == "step"),
                    bits,
                    residue,
                )
                for sign in (1, -1)
            ]
        return (shifted[0] - shifted[1]) / (2 * small) * upstream

    assert values.grad is not None
    assert step.grad is not None
    torch.testing.assert_close(values.grad, numerical("values"), atol=1e-6, rtol=1e-5)
    of_step = 0.25 * numerical("step").sum(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(step.grad, of_step, atol=1e-5, rtol=1e-5)


def test_gradients_by_hand() -> None:
    weight = torch.tensor([-3.0, -0.4, 0.7, 3.0], requires_grad=True)  # a = 1.5
    step = torch.tensor(1.0, requires_grad=True)
    quantize_symmetric(weight, step, 2, 1.0).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [0, 1, 1, 0]
    assert step.grad is not None
    assert step.grad.item() == pytest.approx(-1.5 + (-0.5 + 0.4) + (0.5 - 0.7) + 1.5)
    values = torch.tensor([-1.0, 0.4, 1.8, 9.0], requires_grad=True)
    step = torch.tensor(1.0, requires_grad=True)
    quantize_unsigned(values, step, 2, 1.0).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 0]
    assert step.grad is not None
    assert step.grad.item() == pytest.approx(0 + (0 - 0.4) + (2 - 1.8) + 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_of_the_range_have_no_gradient(dtype: torch.dtype) -> None:
    """With the kernels of our own and, in float64, without them."""
    for quantize, values in (
        (quantize_unsigned, [0.0, 1.4, 3.0]),
        (quantize_symmetric, [-1.5, 0.2, 1.5]),
    ):
        x = torch.tensor(values, dtype=dtype, requires_grad=True)
        quantize(x, torch.tensor(1.0, dtype=dtype), 2, 1.0).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [0, 1, 0]


def test_one_bit_is_the_devices_comparison() -> None:
    step = torch.tensor(0.3)
    values = torch.tensor([-1e-30, -0.0, 0.0, 1e-30])
    signs = quantize_symmetric(values, step, 1, 1.0).sign()
    assert signs.tolist() == [-1, 1, 1, 1]
    values = torch.tensor([-1.0, 0.0, 0.124, 0.125, 7.0])
    bits = quantize_unsigned(values, torch.tensor(0.25), 1, 1.0) / 0.25
    assert bits.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", BITS)
def test_weights_lie_on_their_levels(bits: int, per_channel: bool) -> None:
    torch.manual_seed(0)
    weight = torch.randn(16, 8, 3, 3) * torch.logspace(-2, 1, 16).reshape(-1, 1, 1, 1)
    quantizer = WeightQuantizer(weight, bits, per_channel)
    step = quantizer.step.detach()
    deviation = weight.flatten(1).std(dim=1) if per_channel else weight.std()
    torch.testing.assert_close(step, deviation * NORMAL_STEPS[bits])
    codes, top = quantizer.codes(weight), 254 if bits == 8 else 2**bits - 1
    assert codes.min() >= 0
    assert codes.max() <= top
    broadcast = step.reshape(-1, 1, 1, 1)
    expected = (codes - top / 2) * broadcast
    result = quantizer(weight)
    torch.testing.assert_close(result, expected)
    # The gradient of a sum of outside weights is M/2 each, times g.
    quantizer((weight + 1000).requires_grad_()).sum().backward()
    count = weight[0].numel() if per_channel else weight.numel()
    scale = 1 / math.sqrt(count * max(2 ** (bits - 1) - 1, 1))
    assert quantizer.step.grad is not None
    slope = torch.full_like(step, count * top / 2 * scale)
    torch.testing.assert_close(quantizer.step.grad, slope)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", BITS)
def test_calibration_takes_the_largest_batch(bits: int, signed: bool) -> None:
    torch.manual_seed(0)
    quantizer = ActivationQuantizer(bits, signed)
    network = nn.Sequential(nn.BatchNorm2d(4), nn.Identity() if signed else nn.ReLU(), quantizer)
    network.train()
    before = {name: value.clone() for name, value in network[0].state_dict().items()}
    sizes = (0.5, 2.0, 1.0)
    calibrate(network, (size * torch.randn(20, 4, 8, 8) for size in sizes), count=3)
    expected = 2 * (NORMAL_STEPS if signed else RECTIFIED_STEPS)[bits]
    assert quantizer.step.item() == pytest.approx(expected, rel=0.05)
    assert network.training
    for name, value in network[0].state_dict().items():
        assert torch.equal(value, before[name]), name
    calibrate(network, (size * torch.randn(20, 4, 8, 8) for size in sizes), count=1)
    assert quantizer.step.item() == pytest.approx(expected / 4, rel=0.05)
    levels = network(torch.randn(5, 4, 8, 8)).unique()
    assert len(levels) <= 2**bits
    assert (levels.min() < 0) == signed


def test_calibration_without_a_batch_leaves_the_network_usable() -> None:
    quantizer = ActivationQuantizer(2)
    with pytest.raises(ValueError, match="a batch"):
        calibrate(quantizer, [])
    assert quantizer.step.item() == pytest.approx(RECTIFIED_STEPS[2])
    assert len(quantizer(torch.randn(100)).unique()) == 4


def test_activation_gradient_scales() -> None:
    for signed, scale in ((False, 1 / math.sqrt(50 * 7)), (True, 1 / math.sqrt(50 * 3))):
        quantizer = ActivationQuantizer(3, signed)
        quantizer(torch.full((5, 10), 1e6)).sum().backward()
        assert quantizer.step.grad is not None
        assert quantizer.step.grad.item() == pytest.approx(50 * (3.5 if signed else 7) * scale)


def test_values_in_bfloat16_use_all_levels() -> None:
    values = (torch.arange(256) * 0.125).bfloat16()
    result = quantize_unsigned(values, torch.tensor(0.125), 8, 1.0)
    assert result.dtype == torch.bfloat16
    assert len(result.unique()) == 256


def test_a_user_layer_trains_on_its_levels() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 3)
    parametrize.register_parametrization(layer, "weight", WeightQuantizer(layer.weight, 2, True))
    network = nn.Sequential(ActivationQuantizer(2), layer)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    images, target = torch.rand(64, 6) * 2, torch.randn(64, 3)
    losses = []
    for _ in range(60):
        loss = (network(images) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(len(row.unique()) <= 4 for row in layer.weight)


def test_a_negative_step_is_its_mirror_image() -> None:
    weight = torch.randn(4, 5)
    results = []
    for sign in (1, -1):
        step = torch.tensor([[0.5], [0.1], [0.2], [0.9]], requires_grad=True)
        result = quantize_symmetric(weight, sign * step, 2, 1.0)
        result.square().sum().backward()
        results.append((result.detach(), step.grad))
    torch.testing.assert_close(results[0], results[1])
    quantizer = WeightQuantizer(weight, 3)
    with torch.no_grad():
        quantizer.step.neg_()
    levels = (quantizer.codes(weight) - 3.5) * quantizer.distance()
    torch.testing.assert_close(quantizer(weight), levels)


def test_unfit_bits_and_constant_weights() -> None:
    for bits in (0, 9):
        with pytest.raises(ValueError, match="1 to 8 bits"):
            ActivationQuantizer(bits)
    for weight in (torch.zeros(2, 3), torch.ones(2, 1)):
        for per_channel in (False, True):
            quantizer = WeightQuantizer(weight, 2, per_channel)
            assert quantizer.step.min() > 0
            assert quantizer(weight).isfinite().all()
