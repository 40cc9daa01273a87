import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bitat_deploy.training.bitat.block import Block
from bitat_deploy.training.bitat.convolution import BinarizedConv2d
from bitat_deploy.training.bitat.dependency import DependencyLoss, Problem, compensated_target
from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.quantizers import WeightMode
from tests.training.bitat.chains import commit_chain, correlated_images, linear_layer

EXACT = BitatOptions(
    reduction="none", residual_weight=0.0, centred=False, trained_basis=False, ridge=1e-9
)


def chain_of(kind: str) -> list[BinarizedConv2d]:
    torch.manual_seed(0)
    if kind == "pointwise":
        return [linear_layer(8, 10), linear_layer(10, 12), linear_layer(12, 6)]
    if kind == "strided":
        return [linear_layer(8, 10), linear_layer(10, 12, stride=2), linear_layer(12, 6)]
    return [linear_layer(8, 10), linear_layer(10, 10, kernel=3, groups=10)]


def committed_below(
    layers: list[BinarizedConv2d], images: Tensor, options: BitatOptions = EXACT
) -> Problem:
    """The last layer's problem, the others committed by the plain sign."""
    chain = nn.Sequential(*layers)
    plain = replace(options, descent_sweeps=0, compensation="none")
    block = Block(plain)

    def run() -> Iterator[Tensor]:
        return (chain(batch) for batch in images.split(16))

    for layer in layers[:-1]:
        block.commit("lower", block.prepare(layer, False, run))
    return block.prepare(layers[-1], False, run)


def relative(difference: Tensor, outputs: Tensor) -> Tensor:
    return difference.square().sum() / outputs.square().sum()


@pytest.mark.parametrize("kind", ["pointwise", "strided"])
def test_loss_is_the_measured_error_of_the_whole_chain(kind: str) -> None:
    """(4) with the joint PCA: the output's error, own and from below, to rounding."""
    layers, images = chain_of(kind), correlated_images(40, 8, 5, seed=1)
    expected = nn.Sequential(*copy.deepcopy(layers))(images)
    problem = committed_below(layers, images)
    assert problem.parts == (8, 10, 12)
    top = layers[-1]
    top.weight_mode = WeightMode.BINARY
    loss = DependencyLoss(problem, EXACT)(train_basis=False).detach()
    chain = nn.Sequential(*layers)
    top.weight_mode = WeightMode.FULL
    energy = chain(images).square().sum()  # of the layer on its quantized inputs
    top.weight_mode = WeightMode.BINARY
    measured = ((expected - chain(images)).square().sum() / energy).detach()
    assert float(loss) == pytest.approx(float(measured), rel=1e-4)


def test_a_depthwise_layer_sees_its_own_error_exactly_and_one_row_from_below() -> None:
    layers, images = chain_of("depthwise"), correlated_images(40, 8, 5, seed=1)
    problem = committed_below(layers, images)
    assert problem.moment.shape == (10, 10, 10)
    bottom = committed_below(chain_of("depthwise")[1:], correlated_images(40, 10, 5, seed=1))
    assert bottom.moment.shape == (10, 9, 9)
    layer = bottom.layer
    layer.weight_mode = WeightMode.BINARY
    loss = DependencyLoss(bottom, EXACT)(train_basis=False).detach()
    inputs = correlated_images(40, 10, 5, seed=1)
    quantized = layer(inputs)
    layer.weight_mode = WeightMode.FULL
    measured = relative(layer(inputs) - quantized, layer(inputs))
    assert float(loss) == pytest.approx(float(measured), rel=1e-4)


def test_a_joint_basis_knows_what_a_block_diagonal_one_cannot() -> None:
    """On two layers: the joint loss is the measured error, the block-diagonal one is not, and
    training the top layer by each leaves less error with the joint one."""
    images = correlated_images(60, 16, 4, seed=2)
    torch.manual_seed(3)
    pair = [linear_layer(16, 16), linear_layer(16, 16)]
    expected = nn.Sequential(*copy.deepcopy(pair))(images)
    errors = {}
    for kind in ("joint", "none"):
        layers = copy.deepcopy(pair)
        problem = committed_below(layers, images)
        top = layers[-1]
        top.weight_mode = WeightMode.BINARY
        loss = DependencyLoss(problem, replace(EXACT, off_diagonal=kind))
        optimizer = torch.optim.Adam([top.weight], lr=0.003)
        for _ in range(300):
            optimizer.zero_grad()
            loss(train_basis=False).backward()
            optimizer.step()
        outputs = nn.Sequential(*layers)(images).detach()
        # Scales alone are free: compare directions, output for output.
        gain = (outputs * expected).sum(dim=(0, 2, 3)) / outputs.square().sum(dim=(0, 2, 3))
        errors[kind] = float(relative(expected - gain.reshape(1, -1, 1, 1) * outputs, expected))
    assert errors["joint"] < 0.95 * errors["none"]


def test_compensation_is_the_best_full_precision_answer_to_the_layers_below() -> None:
    layers, images = chain_of("pointwise"), correlated_images(80, 8, 5, seed=4)
    expected = nn.Sequential(*copy.deepcopy(layers))(images).detach()
    problem = committed_below(layers, images)
    target = compensated_target(problem, layers[-1].weight.detach(), ridge=1e-9)
    inputs = nn.Sequential(*layers[:-1])(images).detach()
    columns, answers = layers[-1].columns(inputs), expected.permute(0, 2, 3, 1).flatten(0, 2)
    best = columns @ torch.linalg.pinv(columns) @ answers  # the inputs have rank 8 of 12
    torch.testing.assert_close(columns @ target[0], best, rtol=1e-4, atol=1e-5)


def test_compensation_with_descent_reduces_the_error_of_two_layers() -> None:
    """The toy: two linear layers, relative output error of the pair."""
    images = correlated_images(100, 64, 4, seed=5)
    torch.manual_seed(6)
    pair = [linear_layer(64, 64), linear_layer(64, 32)]
    variants = {
        "plain": replace(EXACT, descent_sweeps=0, compensation="none"),
        "descent": replace(EXACT, descent_sweeps=5, compensation="none"),
        "both": replace(EXACT, descent_sweeps=5, compensation="commit"),
    }
    expected = nn.Sequential(*copy.deepcopy(pair))(images)
    errors = {}
    for name, options in variants.items():
        layers = copy.deepcopy(pair)
        commit_chain(layers, images, options)
        outputs = nn.Sequential(*layers)(images)
        errors[name] = float(relative(outputs - expected, expected).detach())
    assert errors["both"] < errors["descent"] < errors["plain"]
    assert errors["both"] < 0.5 * errors["plain"]


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_commit_records_the_measured_errors_of_sign_and_of_what_it_chose(kernel: int) -> None:
    torch.manual_seed(8)
    layer, images = linear_layer(8, 10, kernel=kernel), correlated_images(80, 8, 5, seed=8)
    latent = layer.weight.detach().clone()
    expected = layer(images).detach()
    block = Block(EXACT)
    problem = block.prepare(layer, False, lambda: (layer(batch) for batch in images.split(16)))
    record = block.commit("layer", problem)
    chosen = layer(images).detach()
    mean = latent.abs().mean(dim=(1, 2, 3), keepdim=True)
    plain = nn.functional.conv2d(images, mean * latent.sign(), padding=kernel // 2)
    assert record.error_before == pytest.approx(float(relative(plain - expected, expected)), 1e-4)
    assert record.error_after == pytest.approx(float(relative(chosen - expected, expected)), 1e-4)
    assert 0 < record.error_after < record.error_before


def test_steps_need_no_eigendecomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, images = chain_of("pointwise"), correlated_images(20, 8, 4, seed=7)
    problem = committed_below(layers, images, replace(EXACT, trained_basis=True))
    loss = DependencyLoss(problem, replace(EXACT, trained_basis=True))
    layers[-1].weight_mode = WeightMode.BINARY

    def refuse(*arguments: object) -> None:
        raise AssertionError("an eigendecomposition on the step's path")

    for name in ("eigh", "eig", "svd", "eigvalsh"):
        monkeypatch.setattr(torch.linalg, name, refuse)
    optimizer = torch.optim.Adam([layers[-1].weight, *loss.parameters()], lr=1e-3)
    first = float(loss().detach())
    for step in range(20):
        optimizer.zero_grad()
        loss(train_basis=step % 4 == 0).backward()
        optimizer.step()
    assert float(loss().detach()) < first
