"""``bitat-deploy train FOLDER``: what is chosen, said, written, and how it goes on."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from bitat_deploy.cli.main import cli
from bitat_deploy.cli.train import train
from bitat_deploy.datasets import HeldOut, load_dataset
from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import load_checkpoint
from bitat_deploy.training.drawn import drawn_network
from bitat_deploy.training.folder_plan import BITS, plan_training
from bitat_deploy.training.integer_network import integer_top1, load_checkpoint_network
from bitat_deploy.training.recipe import load_recipe
from bitat_deploy.zoo import zoo_names

SMALL = ("network.blocks=[[16, 2]]", "network.stem_channels=8", "data.batch_size=8")
SHORT = (*SMALL, "full_precision.epochs=3", "quantized.epochs=3")
CLASSES = ("dark days", "light")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def draw(folder: Path, count: int = 20, side: int = 40) -> Path:
    """Dark and light pictures, three of each scene, which their names tell."""
    generator = np.random.default_rng(1)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(120 * label, 120 * label + 100, (side, side + 9, 3))
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(folder / name / f"scene{index // 3}-{index % 3}.png")
    return folder


def command(*arguments: str) -> str:
    given = [part for change in SHORT for part in ("--set", change)]
    result = CliRunner().invoke(cli, ["train", *arguments, *given, "--threads", "1"])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_the_road_from_a_folder(tmp_path: Path) -> None:
    """Trained, resumed, built with the command that it ends with, and trained anew, changed."""
    folder = draw(tmp_path / "my photos")
    output = command("my photos", "--group", r"scene(\d+)")
    assert "2 classes, " in output
    assert r"data.group scene(\d+): photos with the same text there stay together" in output
    assert "data.batch_size=8: as you say" in output
    run = tmp_path / "runs" / "my-photos"
    state = load_checkpoint(run / "checkpoint.pt")
    assert state.class_names == CLASSES
    assert state.recipe.data.image_size == 32
    held_out = HeldOut(0.2, r"scene(\d+)")
    test = load_dataset("image-folder", "test", folder, 32, held_out)
    network = load_checkpoint_network(run / "checkpoint.pt")
    assert state.top1 == integer_top1(network, test.images, test.labels)
    assert HeldOut.recorded(network.metadata) == held_out
    report = json.loads((run / "report.json").read_text())
    twin = report["stages"][0]["test_top1"]
    assert report["accuracy"]["twin_top1"] == twin
    assert f"(in full precision {twin:.4f})" in output
    build, bench = re.search("^Next: (.*)$", output, re.MULTILINE)[1].split(" && ")  # type: ignore[index]
    assert shlex.split(bench) == ["bitat-deploy", "bench", "--data", "my photos"]
    assert shlex.split(build)[:3] == ["bitat-deploy", "build", "runs/my-photos/checkpoint.pt"]
    exported = CliRunner().invoke(cli, ["export", *shlex.split(build)[2:3], "-o", "out.onnx"])
    assert exported.exit_code == 0, exported.output
    assert load_recipe("runs/my-photos/recipe.yaml") == state.recipe
    again = command("my photos", "--group", r"scene(\d+)")
    assert "resuming" in again
    changes = ["--recipe", "runs/my-photos/recipe.yaml", "--output", "runs/more"]
    command("my photos", *changes, "--set", "seed=2")
    assert load_checkpoint(tmp_path / "runs" / "more" / "checkpoint.pt").recipe.seed == 2


def test_what_is_chosen(tmp_path: Path) -> None:
    folder = draw(tmp_path / "photos", side=70)
    (folder / "light" / "IMG_1.heic").write_bytes(b"")
    assert plan_training(folder).recipe == plan_training(folder, bits="w1a2").recipe
    offered = next(option for option in train.params if option.name == "bits")
    assert list(offered.type.choices) == list(BITS)
    for name, method in (("w1a1", "straight-through"), ("w1a2", "uniq"), ("w4a4", "uniq")):
        recipe = plan_training(folder, bits=name).recipe
        bits = (recipe.quantization.weight_bits, recipe.quantization.activation_bits)
        assert (recipe.method, bits) == (method, BITS[name])
        assert (recipe.data.image_size, recipe.data.test_share) == (64, 0.2)
        layer_bits = recipe.quantization.layer_bits
        assert layer_bits == ({"*.depthwise": 8} if name == "w1a2" else {})
    reasons = plan_training(folder).reasons
    assert any("no pictures which can be read: 1 .heic" in reason for reason in reasons)
    assert any("shorter side is 70 pixels" in reason for reason in reasons)
    changed = plan_training(folder, changes=["data.image_size=48", "seed=3"])
    assert (changed.recipe.data.image_size, changed.recipe.seed) == (48, 3)
    assert not any("shorter side" in reason for reason in changed.reasons)
    with pytest.raises(InputError, match="bits must be one of w1a1, w1a2, w2a2, w4a4, not 3"):
        plan_training(folder, bits="3")
    few = draw(tmp_path / "few", 4)
    with pytest.raises(InputError, match=r"class '.*' in '.*few' has \d photos for training"):
        plan_training(few)


def test_own_test_images_are_taken(tmp_path: Path) -> None:
    draw(tmp_path / "photos" / "train")
    draw(tmp_path / "photos" / "test", 6)
    plan = plan_training(tmp_path / "photos")
    assert plan.recipe.data.test_share is None
    assert plan.reasons[0].startswith("2 classes, 40 photos for training, 12 for testing: as the")


def test_init_names_a_network(tmp_path: Path) -> None:
    folder = draw(tmp_path / "photos")
    torch.save({"features.0.0.weight": torch.zeros(1)}, tmp_path / "mobilenet_v2.pth")
    plan = plan_training(folder, init="mobilenet_v2.pth", bits="w4a4")
    assert plan.recipe.network.architecture == "mobilenet-v2"
    assert len(plan.recipe.network.blocks) == 7
    for name in zoo_names():
        recipe = plan_training(folder, init=name).recipe
        assert len(drawn_network(recipe, (32, 32, 3), CLASSES).layers) > 10
        assert (recipe.quantization.activation_bits == 1) == (recipe.network.block == "reactnet")
    name = "fashion-mnist-shortcut"
    assert plan_training(folder, init=name).recipe.network.width == 0.5
    small = ["--set", "data.batch_size=8", "--set", "full_precision.epochs=1"]
    small += ["--set", "quantized.epochs=1", "--threads", "1"]
    result = CliRunner().invoke(cli, ["train", "photos", "--init", name, *small])
    assert result.exit_code == 0, result.output
    assert f"began with the weights of 10 of 11 layers of the zoo's '{name}'" in result.output
    with pytest.raises(InputError, match="neither a file nor a network in the zoo"):
        plan_training(folder, init="fashion")


def test_wrong_options(tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    for arguments, complaint in (
        ([], "Give a folder of photos, or a recipe"),
        (["photos", "--data", "photos"], "FOLDER and --data are the same"),
        (["--recipe", "smoke", "--bits", "w2a2"], "--bits is for a folder without a recipe"),
    ):
        result = CliRunner().invoke(cli, ["train", *arguments])
        assert result.exit_code == 2
        assert complaint in " ".join(result.output.split())


def test_a_recipe_is_shown() -> None:
    result = CliRunner().invoke(cli, ["train", "--show", "smoke"])
    assert result.exit_code == 0
    path = Path(result.output.splitlines()[0].removeprefix("# "))
    assert result.output.endswith(path.read_text())
    unknown = CliRunner().invoke(cli, ["train", "--show", "smok"])
    assert "unknown recipe 'smok'; choose one of" in str(unknown.exception)
