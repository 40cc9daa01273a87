"""A whole network is costed as it would be built; every figure comes with the model's error."""

import shutil
from dataclasses import replace

import pytest

from bitat_deploy.compiler import lower_layers
from bitat_deploy.cycle_model import ModelError, comparisons, model_error, modelled_network
from bitat_deploy.cycle_model.kernel_cost import kernel_cost
from bitat_deploy.target import load_target, target_names
from tests.drawn_networks import draw_network


@pytest.mark.skipif(not shutil.which("llvm-mca"), reason="llvm-mca is not installed")
def test_a_second_model_with_short_queues() -> None:
    target, network = load_target("rpi4"), draw_network(7)
    first, second = (modelled_network(network, target, short_queues=x) for x in (False, True))
    assert second.cycles != first.cycles
    assert second.error == model_error(target, short_queues=True)


@pytest.mark.skipif(not shutil.which("llvm-mca"), reason="llvm-mca is not installed")
def test_a_network_is_the_sum_of_its_layers() -> None:
    target, network = load_target("rpi4"), draw_network(7)
    modelled = modelled_network(network, target)
    alone = [kernel_cost(layer.operator, target).cycles for layer in lower_layers(network, target)]
    assert [layer.cost.cycles for layer in modelled.layers] == alone
    assert [layer.report.name for layer in modelled.layers] == [x.name for x in network.layers]
    assert modelled.milliseconds == sum(alone) / 1.5e6
    assert replace(modelled, target=replace(target, clock_mhz=0)).milliseconds is None


def test_errors_are_of_the_same_processor() -> None:
    entries = [x for x in comparisons() if x.processor == "cortex-a72"]
    factors = [x.real / x.modelled for x in entries if x.modelled]
    assert model_error(load_target("rpi4")) == ModelError("cortex-a72", min(factors), max(factors))
    factors = [x.real / x.short_queues for x in entries if x.short_queues]
    assert model_error(load_target("rpi4"), short_queues=True).highest == max(factors)
    assert model_error(load_target("aarch64")).lowest is None


def test_sentences() -> None:
    assert ModelError("cortex-a9", 1.5, 1.5).sentence == (
        "other programs took 1.50 times the modelled cycles on a real cortex-a9"
    )
    assert "0.90 to 1.50 times" in ModelError("cortex-a9", 0.9, 1.5).sentence
    assert ModelError("cortex-a9").sentence == (
        "the model of the cortex-a9 was never compared with a real board"
    )


def test_every_comparison_belongs_to_a_target() -> None:
    known = {load_target(name).cpu for name in target_names() if name != "host"}
    assert {comparison.processor for comparison in comparisons()} <= known
