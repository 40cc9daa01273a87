from collections.abc import Iterator

import pytest
import torch

from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.networks import QuantizedNetwork, WeightMode, build_network
from bitat_deploy.training.normalization import reestimate_normalization
from bitat_deploy.training.progressive import Progressive
from bitat_deploy.training.recipe import load_recipe
from bitat_deploy.training.schedule import (
    Stage,
    StageKind,
    build_stages,
    configure,
    modules_below,
    rate_at,
)


def smoke_network(*changes: str) -> tuple[QuantizedNetwork, tuple]:
    torch.manual_seed(0)
    recipe = load_recipe("smoke", changes)
    network = build_network(recipe.network, recipe.quantization, (28, 28, 1), 10)
    return network, build_stages(recipe, network)


def test_layers_are_committed_from_the_bottom() -> None:
    network, stages = smoke_network()
    names = [stage.name for stage in stages]
    layers = [layer.name for layer in network.binary_layers()]
    assert names == ["full precision", "binary activations", *layers, "fine-tune"]


def test_a_progressive_stage_freezes_what_is_below_and_binarizes_its_layer() -> None:
    network, stages = smoke_network()
    stage = next(stage for stage in stages if stage.layer == 2)
    configure(network, stage)
    modes = [layer.weight_mode for layer in network.binary_layers()]
    full, committed = WeightMode.FULL, WeightMode.COMMITTED
    assert modes == [committed, committed, WeightMode.BINARY, full]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainable = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=0.1)
    network(torch.rand(8, 1, 28, 28)).sum().backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items()
               if not torch.equal(value, before[name])}  # fmt: skip
    assert not any(name.startswith(("stem.", "body.block0.")) for name in changed)
    assert {"body.block1.depthwise.weight", "body.block1.pointwise.weight"} <= changed


def test_fine_tune_leaves_the_signs_unless_asked() -> None:
    for signs, change in ((False, ()), (True, ("fine_tune.signs=true",))):
        network, stages = smoke_network(*change)
        assert stages[-1].kind is StageKind.FINE_TUNE
        configure(network, stages[-1])
        assert all(layer.weight.requires_grad is signs for layer in network.binary_layers())
        assert all(layer.normalization.weight.requires_grad for layer in network.binary_layers())


def progressive(network: QuantizedNetwork, images: torch.Tensor) -> Progressive:
    def run() -> Iterator[None]:
        network.eval()
        for batch in images.split(8):
            network(batch)
            yield

    return Progressive(network, BitatOptions(max_rows=8), run)


def test_commit_keeps_what_the_layer_multiplies_with() -> None:
    """alpha * signs is stored: binarizing the stored weight again gives the same."""
    network, stages = smoke_network()
    parts = progressive(network, torch.rand(16, 1, 28, 28))
    for index, layer in enumerate(network.binary_layers()):
        configure(network, next(stage for stage in stages if stage.layer == index))
        parts.begin(index)
        record = parts.commit(index)
        layer.weight_mode = WeightMode.BINARY
        binary = layer.effective_weight().detach()
        torch.testing.assert_close(binary, layer.weight.detach())
        assert set(binary.sign().unique().tolist()) == {-1.0, 1.0}
        assert record.error_after <= record.error_before
        layer.weight_mode = WeightMode.COMMITTED
    assert len(parts.state()["block"]["below"]) == 4


def test_a_progressive_stage_goes_on_from_its_state() -> None:
    network, stages = smoke_network()
    images = torch.rand(16, 1, 28, 28)
    one = progressive(network, images)
    for index in range(3):
        configure(network, next(stage for stage in stages if stage.layer == index))
        one.begin(index)
        if index < 2:
            one.commit(index)
    optimizer = torch.optim.SGD(one.parameters(), lr=0.1)
    one.loss(0).backward()
    optimizer.step()
    two = progressive(network, images)
    two.restore(2, one.state())
    for step in (1, 8, 9):
        assert torch.equal(one.loss(step), two.loss(step))
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    weight = list(network.binary_layers())[2].weight
    before = weight.detach().clone()
    first = one.commit(2)
    signs = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(before)
    assert two.commit(2) == first
    assert torch.equal(weight, signs)


def test_statistics_are_those_of_the_calibration_images() -> None:
    network, stages = smoke_network()
    configure(network, stages[-1])
    layer = list(network.binary_layers())[1]
    frozen = set(modules_below(network, layer))
    assert network.stem.normalization in frozen
    assert layer.normalization not in frozen
    images = torch.rand(32, 1, 28, 28)
    untouched = network.stem.normalization.running_mean.clone()
    reestimate_normalization(network, frozen, [images])
    assert torch.equal(network.stem.normalization.running_mean, untouched)
    sums: list[torch.Tensor] = []
    layer.register_forward_pre_hook(lambda _, inputs: sums.append(layer.sums(inputs[0])))
    network(images)
    mean = sums[0].mean(dim=(0, 2, 3))
    torch.testing.assert_close(layer.normalization.running_mean, mean.detach())


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_the_rate_rises_and_falls_to_zero(kind: str) -> None:
    stage = Stage("any", StageKind.QUANTIZED, epochs=10, learning_rate=0.1, warmup_epochs=2)
    rates = [rate_at(stage, kind, step, 100, 10) for step in range(101)]
    assert rates[:20] == pytest.approx([0.005 * (step + 1) for step in range(20)])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[60] == pytest.approx(0.05)
    assert rates[100] == pytest.approx(0)
