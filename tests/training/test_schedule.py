import torch

from bitat_deploy.training.bitat.stage import calibrate, commit_layer, reestimate_normalization
from bitat_deploy.training.networks import BinaryMobileNet, WeightMode, build_network
from bitat_deploy.training.recipe import load_recipe
from bitat_deploy.training.schedule import StageKind, build_stages, configure


def smoke_network(*changes: str) -> tuple[BinaryMobileNet, tuple]:
    torch.manual_seed(0)
    recipe = load_recipe("smoke", changes)
    network = build_network(recipe.network, (28, 28, 1), 10)
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
    assert not any(name.startswith(("stem.", "blocks.0.")) for name in changed)
    assert {"blocks.1.depthwise.weight", "blocks.1.pointwise.weight"} <= changed


def test_fine_tune_leaves_the_signs_unless_asked() -> None:
    for signs, change in ((False, ()), (True, ("fine_tune.signs=true",))):
        network, stages = smoke_network(*change)
        assert stages[-1].kind is StageKind.FINE_TUNE
        configure(network, stages[-1])
        assert all(layer.weight.requires_grad is signs for layer in network.binary_layers())
        assert all(layer.normalization.weight.requires_grad for layer in network.binary_layers())


def test_commit_keeps_what_the_layer_multiplies_with() -> None:
    """alpha * signs is stored: binarizing the stored weight again gives the same."""
    network, stages = smoke_network()
    layer = list(network.binary_layers())[1]
    configure(network, next(stage for stage in stages if stage.layer == 1))
    moment = calibrate(network, layer, [torch.rand(16, 1, 28, 28)])
    commit = commit_layer(layer, moment, sweeps=3)
    binary = layer.effective_weight().detach()
    torch.testing.assert_close(binary, layer.weight.detach())
    assert set(binary.sign().unique().tolist()) == {-1.0, 1.0}
    assert commit.error_after <= commit.error_before


def test_calibration_leaves_modes_and_statistics_alone() -> None:
    network, stages = smoke_network()
    configure(network, next(stage for stage in stages if stage.layer == 1))
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    calibrate(network, list(network.binary_layers())[1], [torch.rand(4, 1, 28, 28)])
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_statistics_are_those_of_the_calibration_images() -> None:
    network, stages = smoke_network()
    configure(network, stages[-1])
    images = torch.rand(32, 1, 28, 28)
    reestimate_normalization(network, [network.stem], [images])
    sums: list[torch.Tensor] = []
    network.stem.normalization.register_forward_pre_hook(lambda _, inputs: sums.append(inputs[0]))
    network.stem.binary_activation = False  # the hooked module itself has to run
    network.stem(images)
    mean = sums[0].mean(dim=(0, 2, 3))
    torch.testing.assert_close(network.stem.normalization.running_mean, mean)
