from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from bitat_deploy.errors import InputError
from bitat_deploy.training.cost import network_cost
from bitat_deploy.training.data import images_to_tensor
from bitat_deploy.training.networks import (
    QuantizedNetwork,
    StreamBlock,
    StreamRange,
    build_network,
)
from bitat_deploy.training.networks.stream import average_pool
from bitat_deploy.training.quantizers import Activation, WeightMode
from bitat_deploy.training.recipe import load_recipe
from bitat_deploy.training.recipe_sections import NetworkRecipe, QuantizationRecipe
from tests.training.trained_networks import (
    CHAINS,
    CLASSES,
    INPUT_SHAPE,
    REACTNET,
    SIGN,
    STREAMS,
    V1,
    V2,
    Kind,
    draw_images,
    of_block,
    uniq,
)

EIGHT_BITS = [
    Kind(V1, uniq(8, 8)),
    Kind(V2, replace(uniq(2, 2), depthwise=False)),
    Kind(REACTNET, replace(SIGN, layer_bits={"block0.*": 8})),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads only wait for each other where tensors are this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def built(kind: Kind) -> QuantizedNetwork:
    torch.manual_seed(3)
    return build_network(kind.network, kind.quantization, INPUT_SHAPE, CLASSES)


def quantized(network: QuantizedNetwork) -> QuantizedNetwork:
    network.set_activations(binary=True)
    network.set_weights(WeightMode.BINARY)
    return network


def loss_of(network: QuantizedNetwork) -> torch.Tensor:
    torch.manual_seed(4)
    logits = network(images_to_tensor(draw_images(16)))
    return functional.cross_entropy(logits, torch.arange(16) % CLASSES)


@pytest.mark.parametrize("kind", CHAINS + STREAMS + EIGHT_BITS, ids=str)
def test_gradient_reaches_every_parameter(kind: Kind) -> None:
    network = built(kind)
    loss_of(network).backward()
    steps = {name for name, p in network.named_parameters() if p.grad is None}
    assert all(name.endswith("quantizer.step") for name in steps)  # a twin has no quantizer
    network.zero_grad(set_to_none=True)
    loss_of(quantized(network)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("kind", [CHAINS[2], STREAMS[2], STREAMS[5]], ids=str)
def test_training_learns(kind: Kind) -> None:
    """Ten pictures with noise are told apart after a few steps."""
    network = built(kind)
    pictures = torch.rand(CLASSES, 3, *INPUT_SHAPE[:2])
    network.calibrate([pictures])
    quantized(network)
    optimizer = torch.optim.Adam(network.parameter_groups(0.0), lr=0.02)
    losses = []
    for _ in range(40):
        noise = 0.1 * torch.randn(2 * CLASSES, *pictures.shape[1:])
        logits = network((pictures.repeat(2, 1, 1, 1) + noise).clamp(0, 1))
        loss = functional.cross_entropy(logits, torch.arange(CLASSES).repeat(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("kind", CHAINS + STREAMS, ids=str)
def test_inputs_of_binary_layers_are_their_codes(kind: Kind) -> None:
    network = quantized(built(kind))
    top = 2**kind.quantization.activation_bits - 1
    seen: dict[str, torch.Tensor] = {}
    for layer in network.binary_layers():
        layer.register_forward_pre_hook(
            lambda module, inputs: seen.update({module.name: inputs[0].unique()})
        )
    loss_of(network)
    names = [layer.name for layer in network.binary_layers()]
    assert list(seen) == names  # from the bottom to the top
    activations = [part for part in network.modules() if isinstance(part, Activation)]
    units = [part.unit() for part in activations]
    assert len(activations) - len(names) in (0, 1)  # a chain's last ends in the classifier
    for activation, unit, name in zip(activations, units, names, strict=False):
        levels = seen[name] / unit
        torch.testing.assert_close(levels, levels.round())
        assert levels.max() <= top
        assert levels.min() >= (-top if activation.signed else 0)


def test_only_bottlenecks_are_signed_and_only_if_wanted() -> None:
    """A linear bottleneck's negative half survives where the quantizer is signed."""
    images = images_to_tensor(draw_images(16))
    signed, unsigned = (built(Kind(V2, uniq(2, 2, signed=choice))) for choice in (True, False))
    for network in (signed, unsigned):
        network(images)
        network.calibrate([images])
        quantized(network)
    outputs = {}
    for name, network in (("signed", signed), ("unsigned", unsigned)):
        layers = {layer.name: layer for layer in network.binary_layers()}
        marked = [
            layer.name
            for layer in layers.values()
            if layer.activation is not None and layer.activation.signed
        ]
        projections = [layer.name for layer in layers.values() if layer.name.endswith("project")]
        assert marked == (projections if name == "signed" else [])
        record: list[torch.Tensor] = []
        layers["block0.project"].register_forward_hook(lambda _m, _i, y, to=record: to.append(y))
        network(images)
        outputs[name] = record[0]
    assert (outputs["signed"] < 0).double().mean() > 0.3
    assert (outputs["signed"] == 0).sum() == 0  # symmetric levels have no zero
    assert (outputs["unsigned"] == 0).double().mean() > 0.3
    assert outputs["unsigned"].min() == 0


@pytest.mark.parametrize("bits", [(1, 1), (2, 4)])
def test_a_twin_of_other_bits_is_taken_over(bits: tuple[int, int]) -> None:
    twin = built(Kind(REACTNET, uniq(2, 2)))
    loss_of(twin)
    torch.manual_seed(8)
    network = build_network(REACTNET, uniq(*bits), INPUT_SHAPE, CLASSES)
    network.load_twin(twin.state_dict())
    network.eval()
    twin.eval()
    assert loss_of(network) == loss_of(twin)
    layer, other = next(network.binary_layers()), next(twin.binary_layers())
    assert (layer.quantizer.step == other.quantizer.step) == (bits[0] == 2)
    with pytest.raises(InputError, match="another network"):
        built(CHAINS[0]).load_twin(twin.state_dict())
    with pytest.raises(InputError, match="another network"):
        built(Kind(replace(REACTNET, width=2.0), SIGN)).load_twin(twin.state_dict())


def test_what_decays() -> None:
    network = built(Kind(REACTNET, uniq(1, 1)))
    names = {id(p): name for name, p in network.named_parameters()}

    def decaying() -> set[str]:
        groups = network.parameter_groups(1e-4)
        assert [group["weight_decay"] for group in groups] == [1e-4, 0.0]
        counted = [id(p) for group in groups for p in group["params"]]
        assert sorted(counted) == sorted(names)
        return {names[id(p)] for p in groups[0]["params"]}

    layers = {
        "body.block0.first.layers.spatial.weight",
        "body.block0.second.layers.pointwise.weight",
        "body.block1.first.layers.spatial.weight",
        "body.block1.second.layers.pointwise.weight",
    }
    assert decaying() == {"stem.weight", "classifier.weight"} | layers
    quantized(network)
    assert decaying() == {"stem.weight", "classifier.weight"}


def test_calibration_sets_all_steps_and_leaves_the_modes() -> None:
    network = quantized(built(Kind(V1, uniq(2, 2))))
    before = {name: p.clone() for name, p in network.named_parameters()}
    with torch.no_grad():
        for layer in network.binary_layers():
            layer.weight.mul_(3)
    network.calibrate([images_to_tensor(draw_images(8)) for _ in range(2)])
    for layer in network.binary_layers():
        assert layer.weight_mode is WeightMode.BINARY
    for name, parameter in network.named_parameters():
        changed = not torch.equal(parameter, before[name])
        assert changed == (
            name.endswith("step")
            or (name.startswith("body") and "weight" in name and "normalization" not in name)
        ), name


def test_a_name_tells_a_layers_bits() -> None:
    """The first pattern that fits; in UniQ's steps where signs have not so many bits."""
    bits = {"block0.depthwise": 4, "*.depthwise": 8, "block1.*": 2}
    network = built(Kind(V1, replace(SIGN, layer_bits=bits)))
    layers = {layer.name: layer for layer in network.normalized_layers() if hasattr(layer, "name")}
    assert {name: getattr(layer, "weight_bits", 8) for name, layer in layers.items()} == {
        "block0.depthwise": 4,
        "block0.pointwise": 1,
        "block1.depthwise": 8,
        "block1.pointwise": 2,
    }
    step = layers["block0.depthwise"].quantizer.step.detach().clone()
    with torch.no_grad():
        layers["block0.depthwise"].weight.mul_(3)
    quantized(network).calibrate(iter(()))
    assert torch.allclose(layers["block0.depthwise"].quantizer.step, 3 * step)
    for name, layer in layers.items():
        if name != "block1.depthwise":
            levels, unit = layer.quantizer.levels(layer.weight)
            effective = levels * unit[:, None, None, None]
            weight = layer.effective_weight().detach().numpy()
            assert weight == pytest.approx(effective, rel=1e-5)
            assert np.abs(levels).max() == 2**layer.weight_bits - 1
    cost = network_cost(network)
    assert set(cost) == {"W8A8", "W4A1", "W1A1", "W8A1", "W2A1", "weight_bits"}
    assert cost["W8A1"] == 9 * 18 * 6 * 5


def test_bits_of_no_layer_are_named() -> None:
    with pytest.raises(InputError, match=r"no layer has a name like 'block9\.\*'; they are block0"):
        built(Kind(V1, replace(SIGN, layer_bits={"block9.*": 2})))
    with pytest.raises(InputError, match="must be one of 1, 2, 3, 4, 8, not 5"):
        QuantizationRecipe(layer_bits={"head": 5})
    recipe = load_recipe("smoke", ["quantization.layer_bits={'*.depthwise': 8}"])
    network = build_network(recipe.network, recipe.quantization, INPUT_SHAPE, CLASSES)
    assert len(recipe.stages(network)) == 5
    recipe = load_recipe("smoke", ["quantization.layer_bits={'*.depthwise': 2}"])
    network = build_network(recipe.network, recipe.quantization, INPUT_SHAPE, CLASSES)
    with pytest.raises(InputError, match=r"not 2, as .* has it for 'block0\.depthwise'"):
        recipe.stages(network)


def test_signs_need_no_calibration() -> None:
    built(CHAINS[0]).calibrate(iter(()))


def test_reactnets_block_has_no_eight_bit_depthwise() -> None:
    with pytest.raises(InputError, match="no depthwise"):
        built(Kind(REACTNET, QuantizationRecipe(depthwise=False)))
    with pytest.raises(InputError, match="block of mobilenet-v2 must be one of chain, shortcut"):
        built(Kind(of_block(V2, "reactnet"), SIGN))


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1)])
def test_average_of_odd_sizes(size: tuple[int, int]) -> None:
    stream = torch.arange(float(size[0] * size[1])).reshape(1, 1, *size)
    pooled = average_pool(stream)
    assert pooled.shape[2:] == ((size[0] + 1) // 2, (size[1] + 1) // 2)
    rows, columns = (
        [min(2 * i + j, n - 1) for j in (0, 1)] for i, n in zip((0, 0), size, strict=True)
    )
    assert pooled[0, 0, 0, 0] == stream[0, 0][rows][:, columns].mean()
    rows, columns = ([n - 1 if n % 2 else n - 2, n - 1] for n in size)
    assert pooled[0, 0, -1, -1] == stream[0, 0][rows][:, columns].mean()


def test_doubling_equals_reactnets_two_convolutions() -> None:
    network = quantized(built(STREAMS[2])).eval()
    block = network.body.block0.second
    assert isinstance(block, StreamBlock)
    stream = torch.randn(2, 9, 4, 4)
    with torch.no_grad():
        whole = block(stream)
        layer = block.layers.pointwise
        signs = block.activation(stream)
        halves = []
        for part in (slice(0, 9), slice(9, 18)):
            bn = layer.normalization
            statistics = (bn.running_mean[part], bn.running_var[part])
            sums = functional.conv2d(signs, layer.effective_weight()[part])
            y = functional.batch_norm(sums, *statistics, bn.weight[part], bn.bias[part])
            halves.append(y + stream)
        torch.testing.assert_close(whole, block.rprelu(torch.cat(halves, dim=1)))


def test_ranges_follow_training_only() -> None:
    part = StreamRange()
    part.observe(torch.full((1, 1, 1, 1), -7.0))
    assert part.peak == 7
    part.observe(torch.zeros(1, 1, 1, 1))
    assert 6.5 < part.peak < 7
    part.eval().observe(torch.full((1, 1, 1, 1), 100.0))
    assert part.peak < 7


@pytest.mark.parametrize(("size", "stem_stride"), [(32, 1), (224, 2)])
@pytest.mark.parametrize("architecture", ["mobilenet-v1", "mobilenet-v2"])
def test_full_networks_for_small_and_large_images(
    architecture: str, size: int, stem_stride: int
) -> None:
    """The papers' tables of layers, at a narrow width."""
    if architecture == "mobilenet-v1":
        blocks = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
        blocks = (*blocks, *((512, 1),) * 5, (1024, 2), (1024, 1))
        layers, features = 26, 128
    else:
        blocks = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2))
        blocks = (*blocks, (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
        layers, features = 51, 160
    recipe = NetworkRecipe(architecture, "shortcut", 0.125, 32, stem_stride, blocks)
    network = build_network(recipe, SIGN, (size, size, 3), 1000)
    assert len(list(network.binary_layers())) == layers
    assert network.classifier.weight.shape == (1000, features)
    shapes: list[torch.Size] = []
    network.classifier.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    with torch.no_grad():
        quantized(network)(torch.rand(1, 3, size, size))
    assert shapes == [(1, features, size // (16 * stem_stride), size // (16 * stem_stride))]
