import pytest
import torch

from bitat_deploy.training.loop import rate_at
from bitat_deploy.training.networks import QuantizedNetwork, build_network
from bitat_deploy.training.normalization import reestimate_normalization
from bitat_deploy.training.quantizers import WeightMode
from bitat_deploy.training.recipe import load_recipe
from bitat_deploy.training.recipe_sections import StageRecipe
from bitat_deploy.training.stages import CommitLayer, Quantized, Stage


def smoke_network(*changes: str) -> tuple[QuantizedNetwork, list[Stage]]:
    torch.manual_seed(0)
    recipe = load_recipe("smoke", ["bitat.max_rows=8", *changes])
    network = build_network(recipe.network, recipe.quantization, (28, 28, 1), 10)
    return network, recipe.stages(network)


def layer_stages(stages: list[Stage]) -> list[CommitLayer]:
    return [stage for stage in stages if isinstance(stage, CommitLayer)]


def test_layers_are_committed_from_the_bottom() -> None:
    network, stages = smoke_network()
    names = [stage.name for stage in stages]
    layers = [layer.name for layer in network.binary_layers()]
    assert names == ["full precision", "binary activations", *layers, "fine-tune"]


def test_a_progressive_stage_freezes_what_is_below_and_binarizes_its_layer() -> None:
    network, stages = smoke_network()
    layer_stages(stages)[2].configure()
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
        stages[-1].configure()
        assert all(layer.weight.requires_grad is signs for layer in network.binary_layers())
        assert all(layer.normalization.weight.requires_grad for layer in network.binary_layers())


def batches(count: int = 2) -> list[torch.Tensor]:
    return [torch.rand(8, 1, 28, 28) for _ in range(count)]


def begun(stage: Stage, images: list[torch.Tensor]) -> None:
    stage.configure()
    stage.begin(lambda: iter(images))
    stage.configure()


def test_commit_keeps_what_the_layer_multiplies_with() -> None:
    """alpha * signs is stored: binarizing the stored weight again gives the same."""
    network, stages = smoke_network()
    images = batches()
    for stage, layer in zip(layer_stages(stages), network.binary_layers(), strict=True):
        begun(stage, images)
        record = stage.finish(lambda: 0.25)
        layer.weight_mode = WeightMode.BINARY
        binary = layer.effective_weight().detach()
        torch.testing.assert_close(binary, layer.weight.detach())
        assert set(binary.sign().unique().tolist()) == {-1.0, 1.0}
        assert record["relative_output_error_after"] <= record["relative_output_error_before"]
        assert record["validation_top1_before_commit"] == 0.25
    assert len(stage.state()["block"]["below"]) == 4


def test_a_progressive_stage_goes_on_from_its_state() -> None:
    network, stages = smoke_network()
    images = batches()
    first, second, third = layer_stages(stages)[:3]
    for stage in (first, second):
        begun(stage, images)
        stage.finish(lambda: None)
    begun(third, images)
    (group,) = third.parameters()
    optimizer = torch.optim.SGD(group["params"], lr=0.1)
    third.loss(0).backward()
    optimizer.step()
    recipe = load_recipe("smoke", ["bitat.max_rows=8"])
    resumed = layer_stages(recipe.stages(network))[2]
    resumed.restore(third.state())
    for step in (1, 8, 9):
        assert torch.equal(third.loss(step), resumed.loss(step))
    (other,) = resumed.parameters()
    pairs = zip(group["params"], other["params"], strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    weight = list(network.binary_layers())[2].weight
    before = weight.detach().clone()
    record = third.finish(lambda: None)
    signs = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(before)
    assert resumed.finish(lambda: None) == record
    assert torch.equal(weight, signs)


@pytest.mark.parametrize("resumed", [False, True])
def test_released_signs_are_those_committed_with_the_trained_magnitudes(resumed: bool) -> None:
    network, stages = smoke_network("fine_tune.signs=true")
    images, layers = batches(), list(network.binary_layers())
    trained = [layer.weight.detach().clone() for layer in layers]
    for stage in layer_stages(stages):
        begun(stage, images)
        stage.finish(lambda: None)
    committed = [layer.weight.detach().clone() for layer in layers]
    assert any((a.sign() != b.sign()).any() for a, b in zip(trained, committed, strict=True))
    last = stages[-1]
    if resumed:
        last = load_recipe("smoke", ["fine_tune.signs=true"]).stages(network)[-1]
        last.restore(layer_stages(stages)[-1].state())
    begun(last, images)
    for layer, weight, signs in zip(layers, trained, committed, strict=True):
        assert torch.equal(layer.weight.detach(), signs.sign() * weight.abs())


def test_statistics_are_those_of_the_calibration_images() -> None:
    network, stages = smoke_network()
    stages[-1].configure()
    layer = list(network.binary_layers())[1]
    frozen = set(network.modules_below(layer))
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
    stage = Quantized(smoke_network()[0], StageRecipe(10, 0.1, warmup_epochs=2))
    rates = [rate_at(stage, kind, step, 100, 10) for step in range(101)]
    assert rates[:20] == pytest.approx([0.005 * (step + 1) for step in range(20)])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[60] == pytest.approx(0.05)
    assert rates[100] == pytest.approx(0)
