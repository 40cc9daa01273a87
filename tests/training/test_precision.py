"""Training in bfloat16 on a processor: the convolution, the decision, and that it is kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as functional

from bitat_deploy.training import precision
from bitat_deploy.training.checkpoint import load_checkpoint
from bitat_deploy.training.networks import QuantizedNetwork, build_network
from bitat_deploy.training.networks.bfloat16 import narrow_convolution
from bitat_deploy.training.precision import bfloat16_pays, use_bfloat16
from bitat_deploy.training.progress import TrainingProgress
from bitat_deploy.training.recipe import Recipe
from bitat_deploy.training.report import training_report
from bitat_deploy.training.trainer import Trainer
from tests.datasets.idx_files import write_folder
from tests.training.drawn_recipe import recipe


def network_of(given: Recipe) -> QuantizedNetwork:
    torch.manual_seed(1)
    return build_network(given.network, given.quantization, (28, 28, 1), 10)


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize("outside", [0.0, 1.0])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 0), (1, 1, 0)])
def test_convolution_is_that_of_rounded_values(
    kernel: int, stride: int, padding: int, outside: float, needed: bool
) -> None:
    torch.manual_seed(kernel)
    inputs = torch.randn(2, 5, 9, 7, requires_grad=needed)
    weight = torch.randn(6, 5, kernel, kernel, requires_grad=True)
    rounded = [value.detach().bfloat16().float() for value in (inputs, weight)]
    left, right = (value.requires_grad_() for value in rounded)
    result = narrow_convolution(inputs, weight, stride, padding, outside)
    padded = functional.pad(left, (padding,) * 4, value=outside)
    expected = functional.conv2d(padded, right, stride=stride)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected.bfloat16().float())
    gradient = torch.randn_like(expected).bfloat16().float()
    result.backward(gradient)
    expected.backward(gradient)
    assert (inputs.grad is None) == (not needed)
    pairs = [(weight, right)] + ([(inputs, left)] if needed else [])
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-2, atol=5e-2)


def test_evaluation_and_depthwise_layers_stay_exact() -> None:
    images = torch.rand(4, 1, 28, 28)
    real, narrow = network_of(recipe("reactnet")), network_of(recipe("reactnet"))
    use_bfloat16(narrow, True)
    assert torch.equal(real.eval()(images), narrow.eval()(images))
    assert not torch.equal(real.train()(images), narrow.train()(images))
    layer = next(network_of(recipe("shortcut")).binary_layers())
    assert layer.depthwise
    codes = torch.randn(2, 8, 9, 9)
    expected = layer(codes)
    layer.narrow = True
    assert torch.equal(layer(codes), expected)


def test_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of dense 3x3 layers and enough work, on processors with AMX; they stay as they are.

    With any time enough, or none.
    """
    images, labels = torch.rand(8, 1, 28, 28), torch.randint(0, 10, (8,))

    def pays(block: str, features: set[str], smallest: int, worth: float) -> bool:
        monkeypatch.setattr(precision, "processor_features", lambda: features)
        monkeypatch.setattr(precision, "_SMALLEST_BATCH", smallest)
        monkeypatch.setattr(precision, "_WORTH", worth)
        network, same = network_of(recipe(block)), network_of(recipe(block))
        answer = bfloat16_pays(network, images, labels)
        assert all(
            torch.equal(value, same.state_dict()[name])
            for name, value in network.state_dict().items()
        )
        assert torch.equal(network.train()(images), same.train()(images))
        return answer

    amx = {"amx_bf16"}
    assert pays("reactnet", amx, 1, float("inf"))
    assert not pays("reactnet", amx, 1, 0.0)
    assert not pays("reactnet", amx, 1 << 60, float("inf"))
    assert not pays("reactnet", {"avx2"}, 1, float("inf"))
    assert not pays("shortcut", amx, 1, float("inf"))


def test_the_decision_is_kept_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_folder(tmp_path / "data")
    ended = []
    for pays in (True, False):
        monkeypatch.setattr(
            "bitat_deploy.training.trainer.bfloat16_pays", lambda *_, answer=pays: answer
        )
        path = tmp_path / f"{pays}.pt"
        trainer = Trainer(recipe("reactnet"), data, path)
        state = trainer.run(trainer.start(), TrainingProgress())
        assert load_checkpoint(path).narrow == pays
        assert training_report(state)["bfloat16_convolutions"] == pays
        ended.append(state)
    names = [name for name in ended[0].network if name.endswith("weight")]
    assert not all(torch.equal(*(state.network[name] for state in ended)) for name in names)
    # A run that stopped after its first stage goes on as it began, whatever is measured now.
    path = tmp_path / "True.pt"
    trainer = Trainer(recipe("reactnet"), data, path)
    monkeypatch.setattr("bitat_deploy.training.trainer.bfloat16_pays", lambda *_: True)
    trainer.stages = trainer.stages[:1]
    first = trainer.run(trainer.start(), TrainingProgress())
    monkeypatch.setattr("bitat_deploy.training.trainer.bfloat16_pays", lambda *_: False)
    trainer = Trainer(recipe("reactnet"), data, path)
    again = trainer.run(trainer.resumed(replace(first, result=None)), TrainingProgress())
    assert all(torch.equal(again.network[name], ended[0].network[name]) for name in names)
