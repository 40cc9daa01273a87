"""``bitat-deploy quantize`` on a small network: what it writes, says, and refuses."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from bitat_deploy.cli.main import cli
from bitat_deploy.datasets import load_dataset
from bitat_deploy.errors import InputError
from bitat_deploy.onnx_format import reference_logits, to_onnx
from bitat_deploy.training.checkpoint import load_checkpoint, save_checkpoint
from bitat_deploy.training.integer_network import (
    integer_logits,
    integer_top1,
    load_checkpoint_network,
)
from bitat_deploy.training.progress import TrainingProgress
from bitat_deploy.training.quantizers import Activation
from bitat_deploy.training.recipe import recipe_from_mapping
from bitat_deploy.training.trainer import Trainer
from bitat_deploy.training.twin import finished_network
from tests.datasets.idx_files import write_folder
from tests.drawn_networks import numpy_logits
from tests.training.post_training.small_runs import (
    CLASSES,
    SHAPE,
    STAGE,
    checkpoint,
    draw_photos,
    values,
)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def quantize(path: Path, data: Path, *options: str) -> Result:
    arguments = ["quantize", str(path), "--data", str(data), "--threads", "1", *options]
    return CliRunner().invoke(cli, arguments)


def done(path: Path, data: Path, *options: str) -> str:
    result = quantize(path, data, *options)
    if result.exception is not None:
        raise result.exception
    return " ".join(result.output.split())


def test_a_flat_folder_without_labels(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "twin.pt")
    photos = draw_photos(tmp_path / "photos", 12)
    (photos / "notes.txt").write_text("no picture")
    output = done(path, photos, "--weights", "2", "--activations", "3", "--images", "10")
    assert "no accuracy" in output
    assert "from 10 pictures" in output
    state = load_checkpoint(tmp_path / "runs" / "drawn-w2a3" / "checkpoint.pt")
    assert state.recipe.method == "post-training"
    assert state.recipe.init == str(path)
    report = json.loads((tmp_path / "runs" / "drawn-w2a3" / "report.json").read_text())
    assert len(report["stages"][0]["layers"]) == 4
    assert "W2A3" in report["cost"]
    network = load_checkpoint_network(tmp_path / "runs" / "drawn-w2a3" / "checkpoint.pt")
    images = np.random.default_rng(1).integers(0, 256, (4, *SHAPE), dtype=np.uint8)
    expected = numpy_logits(network, images)
    assert np.array_equal(integer_logits(network, images), expected)
    assert np.array_equal(reference_logits(to_onnx(network), images), expected)
    assert "stream target" in network.metadata["method"]
    exported = CliRunner().invoke(cli, ["export", "runs/drawn-w2a3/checkpoint.pt"])
    assert exported.exit_code == 0, exported.output
    again = quantize(tmp_path / "runs" / "drawn-w2a3" / "checkpoint.pt", photos, *W2A2)
    assert "are quantized already (method 'post-training')" in str(again.exception)


W2A2 = ("--weights", "2", "--activations", "2")


def test_accuracy_where_there_are_labels(tmp_path: Path) -> None:
    for split, seed in (("train", 0), ("test", 10)):
        for number, name in enumerate(CLASSES):
            draw_photos(tmp_path / "data" / split / name, 3, seed + number)
    output = done(checkpoint(tmp_path / "twin.pt"), tmp_path / "data", *W2A2, "--output", "out")
    state = load_checkpoint(tmp_path / "out" / "checkpoint.pt")
    assert state.result is not None
    assert (state.test_images, state.result["evaluation"]) == (9, "integer")
    assert f"{state.result['reference_top1']:.4f} before, {state.top1:.4f} after" in output
    assert "from 9 pictures" in output  # those of train/
    network = load_checkpoint_network(tmp_path / "out" / "checkpoint.pt")
    test = load_dataset("image-folder", "test", tmp_path / "data", 16)
    assert state.top1 == integer_top1(network, test.images, test.labels)


def test_steps_train_all_but_the_levels(tmp_path: Path) -> None:
    path, photos = checkpoint(tmp_path / "twin.pt"), draw_photos(tmp_path / "photos", 40)
    done(path, photos, *W2A2, "--output", "plain")
    done(path, photos, *W2A2, "--output", "tuned", "--steps", "3")
    plain, tuned = (
        load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("plain", "tuned")
    )
    assert [stage["steps"] for stage in tuned.history] == [0, 3]
    assert tuned.recipe.distillation.weight == 1
    for name, value in plain.network.items():
        level = name.endswith(("depthwise.weight", "pointwise.weight", "e.quantizer.step"))
        if level:
            assert torch.equal(tuned.network[name], value), name
    for name in ("stem.weight", "classifier.weight", "stem.normalization.weight"):
        assert not torch.equal(tuned.network[name], plain.network[name]), name


def test_trained_activations_are_kept(tmp_path: Path) -> None:
    quantization = {"quantizer": "uniq", "weight_bits": 4, "activation_bits": 2}
    path = checkpoint(
        tmp_path / "activations.pt",
        method="quantized-activations",
        quantization=quantization,
        activations=STAGE,
    )
    photos = draw_photos(tmp_path / "photos", 12)
    done(path, photos, "--weights", "1", "--activations", "2", "--output", "out")
    before, after = load_checkpoint(path), load_checkpoint(tmp_path / "out" / "checkpoint.pt")
    assert after.recipe.quantization.weight_bits == 1
    steps = [name for name in before.network if name.endswith("activation.quantizer.step")]
    assert len(steps) == 4
    for name in steps:
        assert torch.equal(before.network[name], after.network[name])
    assert finished_network(after).classifier.weight.shape == (3, 16)
    refused = quantize(path, photos, "--weights", "1", "--activations", "4")
    assert "were trained with 2 bits" in str(refused.exception)
    exported = CliRunner().invoke(cli, ["export", str(path)])
    assert "quantize them first" in str(exported.exception)


def test_trained_activations_are_kept_beside_layers_of_8_bits(tmp_path: Path) -> None:
    """The depthwise layers become layers of another class."""
    path = checkpoint(
        tmp_path / "activations.pt",
        method="quantized-activations",
        quantization={"quantizer": "uniq", "activation_bits": 2, "depthwise": False},
        activations=STAGE,
    )
    photos = draw_photos(tmp_path / "photos", 12)
    done(path, photos, "--weights", "8", "--activations", "2", "--output", "out")
    before, after = load_checkpoint(path), load_checkpoint(tmp_path / "out" / "checkpoint.pt")
    for name in before.network:
        if name.endswith("activation.quantizer.step"):
            assert torch.equal(before.network[name], after.network[name])


def test_signs(tmp_path: Path) -> None:
    """Binary activations, trained; gammas are kept."""
    path = checkpoint(
        tmp_path / "activations.pt",
        method="quantized-activations",
        quantization={"quantizer": "sign"},
        activations=STAGE,
    )
    photos = draw_photos(tmp_path / "photos", 12)
    done(path, photos, "--weights", "1", "--activations", "1", "--output", "out")
    network = load_checkpoint_network(tmp_path / "out" / "checkpoint.pt")
    images = np.random.default_rng(1).integers(0, 256, (4, *SHAPE), dtype=np.uint8)
    assert np.array_equal(integer_logits(network, images), numpy_logits(network, images))
    wide = quantize(path, photos, "--weights", "2", "--activations", "1")
    assert "quantizer 'sign' has bits 1" in str(wide.exception)


def test_signs_with_other_bits_in_single_layers(tmp_path: Path) -> None:
    path = checkpoint(
        tmp_path / "activations.pt",
        method="quantized-activations",
        quantization={"quantizer": "sign", "layer_bits": {"block1.*": 3}},
        activations=STAGE,
    )
    photos = draw_photos(tmp_path / "photos", 12)
    done(path, photos, "--weights", "1", "--activations", "1", "--output", "out")
    quantized = finished_network(load_checkpoint(tmp_path / "out" / "checkpoint.pt"))
    bits = {layer.name: layer.weight_bits for layer in quantized.binary_layers()}
    assert bits == {name: 3 if name.startswith("block1") else 1 for name in bits}
    network = load_checkpoint_network(tmp_path / "out" / "checkpoint.pt")
    images = np.random.default_rng(1).integers(0, 256, (4, *SHAPE), dtype=np.uint8)
    assert np.array_equal(integer_logits(network, images), numpy_logits(network, images))


def test_bits_without_operators_are_evaluated_in_floating_point(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number, name in enumerate(CLASSES):
            draw_photos(tmp_path / "data" / split / name, 3, number)
    bits = ("--weights", "6", "--activations", "8", "--output", "out")
    output = done(checkpoint(tmp_path / "twin.pt"), tmp_path / "data", *bits)
    assert "floating point evaluation" in output
    state = load_checkpoint(tmp_path / "out" / "checkpoint.pt")
    assert state.result is not None
    assert "6 bits" in state.result["why_float"]
    network = finished_network(state)
    assert all(x.quantized for x in network.modules() if isinstance(x, Activation))


def test_what_is_refused(tmp_path: Path) -> None:
    path, photos = checkpoint(tmp_path / "checkpoint.pt"), draw_photos(tmp_path / "photos", 12)
    signs = checkpoint(tmp_path / "signs.pt", quantization={"quantizer": "sign"})
    one = draw_photos(tmp_path / "one", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_text("no picture")
    for given, data, options, complaint in (
        (path, photos, ("--weights", "1", "--activations", "1"), "activations of 1 bit must be"),
        (signs, photos, W2A2, "one with quantization.quantizer uniq"),
        (path, tmp_path / "empty", W2A2, "holds no pictures"),
        (path, tmp_path / "none", W2A2, "does not exist"),
        (path, tmp_path / "broken", W2A2, "a.png' cannot be read as a picture"),
        (path, one, W2A2, "needs 2 images at least"),
        (path, photos, (*W2A2, "--output", "."), "would replace"),
        (tmp_path / "none.pt", photos, W2A2, "does not exist"),
    ):
        result = quantize(given, data, *options)
        assert isinstance(result.exception, InputError), complaint
        assert complaint in str(result.exception)
    state = load_checkpoint(path)
    save_checkpoint(replace(state, result=None), path)
    assert "an unfinished run" in str(quantize(path, photos, *W2A2).exception)


def test_a_run_of_the_method(tmp_path: Path) -> None:
    """Twin, quantization, and steps after it, as train runs them."""
    data = write_folder(tmp_path / "data", train=80, test=20)
    recipe = recipe_from_mapping(
        values(
            dataset="fashion-mnist",
            method="post-training",
            quantization={
                "quantizer": "uniq",
                "weight_bits": 2,
                "activation_bits": 4,
                "per_channel": True,
            },
            data={"batch_size": 16, "validation_images": 0, "calibration_images": 64},
            fine_tune=STAGE,
            distillation={"weight": 1.0},
        )
    )
    trainer = Trainer(recipe, data, tmp_path / "checkpoint.pt")
    state = trainer.run(trainer.start(), TrainingProgress())
    assert [stage["stage"] for stage in state.history] == [
        "full precision",
        "post-training",
        "fine-tune",
    ]
    assert state.result is not None
    assert state.result["evaluation"] == "integer"
    assert "then all but the levels trained" in recipe.sections.description()
