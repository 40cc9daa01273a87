"""What the trainer gives a stage: the teacher, the statistics afterwards, the ranges of weights."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as functional

from bitat_deploy.datasets import load_dataset
from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint
from bitat_deploy.training.data import images_to_tensor, training_batch
from bitat_deploy.training.integer_network import integer_top1, load_checkpoint_network
from bitat_deploy.training.loop import task_loss
from bitat_deploy.training.networks import QuantizedNetwork, build_network
from bitat_deploy.training.progress import TrainingProgress
from bitat_deploy.training.quantizers import WeightMode, int8_weight
from bitat_deploy.training.recipe import Recipe
from bitat_deploy.training.trainer import Trainer
from tests.datasets.idx_files import write_folder
from tests.training.drawn_recipe import recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(trainer: Trainer) -> Checkpoint:
    return trainer.run(trainer.start(), TrainingProgress())


def after_twin(given: Recipe, data: Path, folder: Path) -> tuple[Trainer, Checkpoint]:
    """A trainer of ``given`` and the state after its first stage."""
    trainer = Trainer(given, data, folder / "checkpoint.pt")
    first, trainer.stages = trainer.stages, trainer.stages[:1]
    state = replace(trained(trainer), result=None)
    trainer.stages = first
    return trainer, state


def network_of(state: Checkpoint, quantized: bool) -> QuantizedNetwork:
    network = build_network(
        state.recipe.network, state.recipe.quantization, state.input_shape, len(state.class_names)
    )
    network.load_state_dict(state.network)
    network.set_activations(quantized)
    network.set_weights(WeightMode.BINARY if quantized else WeightMode.FULL)
    return network


def test_statistics_are_of_images_as_training_sees_them(data: Path, tmp_path: Path) -> None:
    given = recipe(method="full-precision", quantized=None)
    trainer = Trainer(given, data, tmp_path / "checkpoint.pt")
    network = network_of(trained(trainer), quantized=False)
    weight = int8_weight(network.stem.weight, per_channel=True).detach()
    batches = [
        training_batch(trainer.training, given.data, 1009, step).images for step in range(6, 12)
    ]
    sums = functional.conv2d(images_to_tensor(torch.cat(batches)), weight, stride=2, padding=1)
    running = network.stem.normalization.running_mean
    torch.testing.assert_close(running, sums.mean(dim=(0, 2, 3)))
    clean = functional.conv2d(images_to_tensor(trainer.training.images), weight, None, 2, 1)
    assert (running - clean.mean(dim=(0, 2, 3))).abs().max() > 1e-3


@pytest.mark.parametrize("own", [True, False])
def test_the_teacher_sees_the_students_batch(own: bool, data: Path, tmp_path: Path) -> None:
    distillation: dict[str, Any] = {"weight": 0.75}
    if not own:  # of another method, network and nonlinearity
        other = recipe(
            network={**recipe().plain()["network"], "block": "chain"},
            quantization={"nonlinearity": "relu"},
        )
        teaching = trained(Trainer(other, data, tmp_path / "teacher.pt"))
        distillation["teacher"] = str(tmp_path / "teacher.pt")
    given = recipe(distillation=distillation)
    trainer, state = after_twin(given, data, tmp_path)
    run = trainer.begin(state)
    batch = training_batch(trainer.training, given.data, 5, 0)
    images = images_to_tensor(batch.images)
    with torch.no_grad():
        teacher = network_of(state, False) if own else network_of(teaching, True)
        answers = teacher.eval()(images)
        logits = network_of(state, True)(images)
    expected = task_loss(logits, batch.labels, answers, given.distillation)
    assert trainer.train_batch(run, 0, batch) == pytest.approx(float(expected), rel=1e-5)
    assert (load_checkpoint(tmp_path / "checkpoint.pt").teacher is not None) == own


def test_latent_weights_and_gammas_stay_in_their_range(data: Path, tmp_path: Path) -> None:
    trainer, state = after_twin(recipe(), data, tmp_path)
    for name, value in state.network.items():
        if name.endswith(("depthwise.weight", "pointwise.weight")):
            value.mul_(20)
        if name.endswith("activation.normalization.weight"):
            value.neg_()
        elif name.endswith("normalization.weight"):
            value.mul_(-1000)
    before = {name: value.clone() for name, value in state.network.items()}
    batch = training_batch(trainer.training, trainer.recipe.data, 5, 0)
    for stage, sizes in ((0, False), (1, True)):
        network = trainer.stages[stage].network
        network.load_state_dict(before)
        trainer.train_batch(trainer.begin(replace(state, stage=stage)), 0, batch)
        after = network.state_dict()
        weights = torch.cat([layer.weight.detach().flatten() for layer in network.binary_layers()])
        assert (float(weights.abs().max()) <= 1) == sizes
        gammas = [after[name] for name in after if name.endswith("activation.normalization.weight")]
        assert len(gammas) == 4
        assert torch.cat(gammas).min() >= 1e-3
        others = {name for name in after if name.endswith("normalization.weight")}
        writers = [after[name] for name in others if "activation" not in name]
        assert len(writers) == 5
        assert torch.cat(writers).abs().max() == 8


def test_a_stage_ends_with_the_average_of_its_weights(data: Path, tmp_path: Path) -> None:
    given = recipe(optimizer={"ema": 0.3, "label_smoothing": 0.2})
    trainer, state = after_twin(given, data, tmp_path)
    run = trainer.begin(state)
    network = trainer.stages[1].network
    average = {name: value.detach().clone() for name, value in network.named_parameters()}
    for step in range(4):
        batch = training_batch(trainer.training, given.data, 5, step)
        with torch.no_grad():
            answers = network(images_to_tensor(batch.images)).log_softmax(dim=1)
        hard = -answers.gather(1, batch.labels[:, None]).mean()
        expected = 0.8 * hard - 0.2 * answers.mean()
        loss = trainer.train_batch(run, step, batch)
        assert loss == pytest.approx(float(expected), rel=1e-4)
        decay = min(0.3, (1 + step) / (10 + step))
        for name, value in network.named_parameters():
            average[name] = decay * average[name] + (1 - decay) * value.detach()
    run.conclude()
    for name, value in network.named_parameters():
        torch.testing.assert_close(value.detach(), average[name])


def test_the_network_sees_the_middle(data: Path, tmp_path: Path) -> None:
    """In evaluation; the exported network says of what it is."""
    values = {**recipe().plain()["data"], "crop": 20}
    trainer = Trainer(recipe(data=values), data, tmp_path / "checkpoint.pt")
    state = trained(trainer)
    assert state.input_shape == (20, 20, 1)
    integers = load_checkpoint_network(tmp_path / "checkpoint.pt")
    assert integers.preprocessing.resized_to == (28, 28)
    test = load_dataset("fashion-mnist", "test", data).middle(20, 20)
    assert test.images.shape[1:] == (20, 20, 1)
    assert state.top1 == integer_top1(integers, test.images[:20], test.labels[:20])
    with pytest.raises(InputError, match=r"data\.crop 30 is more than the images' 28x28 pixels"):
        Trainer(recipe(data={**values, "crop": 30}), data, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="the network takes the middle 30x20"):
        load_dataset("fashion-mnist", "test", data).middle(20, 30)
